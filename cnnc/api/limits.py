"""Limits of memory and parameters for networks, models and data of others: `limits`.

In: sizes. Out: a context, in which what needs more raises CnncError E913 before anything is allocated.

    with limits(memory="2G", params="10M"):
        import_model("untrusted.onnx")
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from cnnc.api.arguments import checked
from cnnc.core.limits import limited, memory_size, parameter_count


@checked('cnnc.limits(memory="2G", params="10M")')
def limits(*, memory: str | int | None = None, params: str | int | None = None) -> AbstractContextManager[None]:
    """Limits what networks, models and data may need within a `with` block, as `--max-memory` and `--max-params` do.

    `memory` is a size, such as "2G", "500MB" or a number of bytes; `params` a number of parameters, such as "10M". What needs
    more raises CnncError E913 before anything is allocated. Raises CnncError E010 for what is not a size or a number.

    >>> import cnnc
    >>> network = cnnc.check("input 1x8x8; fc 100")
    >>> try:
    ...     with cnnc.limits(params="1k"):
    ...         model = cnnc.Model(network)
    ... except cnnc.CnncError as error:
    ...     print(error.diagnostics[0].message)
    string has 6,500 parameters; the limit is 1,000 (cnnc.limits)
    """
    origin = "cnnc.limits"
    return limited(
        None if memory is None else memory_size(str(memory), origin),
        None if params is None else parameter_count(str(params), origin),
    )
