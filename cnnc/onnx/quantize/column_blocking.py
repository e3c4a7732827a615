"""Column blocking: int8 convolutions with few channels compute several output columns at once, as extra channels.

Input: a quantized model and the `ColumnBlocking` of some of its convolutions. Output: the same model rewritten, with
bit-identical results.

onnxruntime's int8 convolution first copies the inputs of each output position, all channels together. With few channels
the copy takes longer than the arithmetic. In memory with channels last, a row of W columns with C channels is also a row
of W/g blocks with g·C channels. So f neighbouring output columns become channels of one output block and read whole
blocks of the input. The kernel becomes f kernels a few blocks wide: the same weights, each shifted by one stride, with
zeros around them. The windows of a max pool that follows become channels as well (their rows too), and the pool takes
the maximum over those.

Worked case, conv1 of LeNet-5: `input 1x28x28; conv 6 k=5 p=2; relu; pool max k=2`.

    blocks of 4 columns   input (1, 28, 28) -> (4, 28, 7)
    4 output columns      read input columns -2..5: the second half of a block, a block, the first half of one
                          = 3 blocks, 2 leading zeros in the kernel, padding of 1 block on each side
    kernel                (6, 1, 5, 5) -> (4·6, 4·1, 5, 3); with the 2 rows of each pool window (2·4·6, 4, 6, 3), stride 2
    output                (48, 14, 7); the pool takes the maximum of 2·2 channels and restores (6, 14, 14)

The file keeps the original kernel. Pad, Tile, Slice, Reshape and Transpose of constants build the larger one; a runtime
folds them once, when it loads the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import onnx
from onnx import helper

from cnnc.onnx.quantize.qdq_cleanup import drop_unread_nodes, order_nodes

INT8_LANES = 4  # channels that int8 kernels process at once: a block holds a multiple of it
CHANNEL_BLOCK = 16  # channels that float32 kernels and byte pools process at once
MIN_BLOCK_VALUES = 8  # channels times columns of a block, unless the kernel is long and outputs % CHANNEL_BLOCK != 0
LONG_KERNEL = 5  # kernel columns from which blocking pays off even where the channels fit the kernels
MAX_COLUMNS = 8  # output columns per block
MAX_MAC_GROWTH = 2.5  # multiply-adds including the zeros, relative to those without

Shapes = Mapping[str, tuple[int, ...]]


class ColumnBlocking(NamedTuple):
    """How one convolution computes `columns` output columns at once from blocks of `width` input columns.

    `kernel_blocks` is the width of the new kernel in blocks, `leading_zeros` the number of columns in front of the
    original kernel, `pads` the padding of a row in blocks (before, after). The shapes are those of the original kernel
    (O, C, *k) and of one example of the input and output, channels first.
    """

    columns: int
    width: int
    kernel_blocks: int
    leading_zeros: int
    pads: tuple[int, int]
    weight_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


def integer_attributes(node: onnx.NodeProto) -> dict[str, list[int]]:
    """The integer attributes of a convolution or pool, each as a list."""
    return {a.name: list(a.ints) or [a.i] for a in node.attribute if a.type in (a.INT, a.INTS)}


def is_dense_conv(node: onnx.NodeProto) -> bool:
    """Whether the node is a convolution without groups."""
    return node.op_type == "Conv" and integer_attributes(node).get("group", [1]) == [1]


def find_blocking(node: onnx.NodeProto, shapes: Shapes) -> ColumnBlocking | None:
    """The blocking with the fewest columns that pays off, or None.

    None where there are enough channels, where the row does not divide into blocks, and for three spatial axes,
    dilation and symbolic sizes (which have size 0 in `shapes`).
    """
    if not is_dense_conv(node):
        return None
    weight_shape, input_shape, output_shape = (shapes[n] for n in (node.input[1], node.input[0], node.output[0]))
    (outputs, channels, *_, size), attributes, rank = weight_shape, integer_attributes(node), len(weight_shape) - 2
    channels_fit = channels % INT8_LANES == 0 and outputs >= CHANNEL_BLOCK
    if channels_fit and (channels >= CHANNEL_BLOCK or size < LONG_KERNEL):
        return None
    if size < LONG_KERNEL and channels < MIN_BLOCK_VALUES:
        return None
    if rank > 2 or 0 in (*input_shape[1:], *output_shape[1:]) or {1} != {1, *attributes.get("dilations", ())}:
        return None
    stride, pad = attributes.get("strides", [1])[-1], attributes.get("pads", [0] * rank)[rank - 1]
    for columns in range(1, MAX_COLUMNS + 1):
        width = columns * stride
        values = width * channels
        if width == 1 or input_shape[-1] % width or output_shape[-1] % columns or values % INT8_LANES:
            continue
        if columns == 1 and size < LONG_KERNEL:
            continue
        if values < MIN_BLOCK_VALUES and outputs % CHANNEL_BLOCK == 0:
            continue
        first = -pad // width  # the blocks that the first output block reads: first .. end - 1
        end = -(-((columns - 1) * stride + size - pad) // width)
        after = output_shape[-1] // columns - 1 + end - input_shape[-1] // width
        if after >= 0 and (end - first) * width <= MAX_MAC_GROWTH * size:
            zeros, pads = -pad - first * width, (-first, after)
            return ColumnBlocking(
                columns, width, end - first, zeros, pads, weight_shape, input_shape[1:], output_shape[1:]
            )
    return None


def block_columns(graph: onnx.GraphProto, blockings: Mapping[str, ColumnBlocking]) -> None:
    """Rewrites the convolutions with these names in place, where only a QuantizeLinear reads the result.

    Relu and Clip between the two stay where they are.
    """
    editor = _GraphEditor(graph)
    for conv in list(graph.node):
        quantize = _quantizer_after(graph, conv) if conv.name in blockings else None
        if quantize is None:
            continue
        blocking = blockings[conv.name]
        pool = _max_pool_after(graph, quantize)
        window = _fused_window(pool, blocking) if pool is not None else None
        _block_conv(conv, blocking, window or (1, 1), editor)
        if pool is None or window is None:
            _restore_shape(quantize, _blocked_output(blocking, (1, 1)), blocking.output_shape, editor)
        else:
            _block_pool(pool, window, blocking, editor)
    order_nodes(graph)
    drop_unread_nodes(graph)


class _GraphEditor:
    """Adds nodes and constants to a graph. Their names are a dot and a number, which no name in a source file is."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph, self.count = graph, 0
        self.known: dict[tuple[int, ...], str] = {}

    def fresh_name(self) -> str:
        self.count += 1
        return f".{self.count}"

    def node(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        output = to or self.fresh_name()
        self.graph.node.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def integers(self, *values: int) -> str:
        """The name of an int64 constant with these values."""
        if values not in self.known:
            name = self.known[values] = self.fresh_name()
            self.graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values))
        return self.known[values]

    def reshape_channels_last(self, tensor: str, before: Sequence[int], after: Sequence[int], to: str = "") -> str:
        """Reshapes (N, *before) to (N, *after), both channels first, keeping the order of the elements channels last."""
        if before[0] > 1:
            tensor = self.node("Transpose", tensor, perm=[0, *range(2, len(before) + 1), 1])
        tensor = self.node("Reshape", tensor, self.integers(0, *after[1:], after[0]))
        return self.node("Transpose", tensor, perm=[0, len(after), *range(1, len(after))], to=to)


def _only_reader(graph: onnx.GraphProto, node: onnx.NodeProto, *operators: str) -> onnx.NodeProto | None:
    """The only node that reads this node's output, if it is one of these operators."""
    name = node.output[0]
    readers = [other for other in graph.node if name in other.input]
    is_only = len(readers) == 1 and all(info.name != name for info in graph.output)
    return readers[0] if is_only and readers[0].op_type in operators else None


def _quantizer_after(graph: onnx.GraphProto, conv: onnx.NodeProto) -> onnx.NodeProto | None:
    """The QuantizeLinear after a convolution and its activations."""
    last = conv
    while (activation := _only_reader(graph, last, "Relu", "Clip")) is not None:
        last = activation
    return _only_reader(graph, last, "QuantizeLinear")


def _max_pool_after(graph: onnx.GraphProto, quantize: onnx.NodeProto) -> onnx.NodeProto | None:
    """The max pool after a QuantizeLinear and its DequantizeLinear, if nothing else reads them."""
    dequantize = _only_reader(graph, quantize, "DequantizeLinear")
    pool = _only_reader(graph, dequantize, "MaxPool") if dequantize is not None else None
    return pool if pool is not None and len(pool.output) == 1 else None


def _fused_window(pool: onnx.NodeProto, blocking: ColumnBlocking) -> tuple[int, int] | None:
    """Rows and columns of the pool's window, if the pool can take its maxima over channels and gains from it.

    The windows must not overlap, must fill whole blocks and rows, and have neither padding nor dilation.
    """
    attributes = integer_attributes(pool)
    sizes, spatial = attributes["kernel_shape"], blocking.output_shape[1:]
    fits = all(size % over == 0 for size, over in zip((*spatial[:-1], blocking.columns), sizes, strict=True))
    plain = (
        attributes.get("strides") == sizes
        and not any(attributes.get("pads", ()))
        and {1} == {1, *attributes.get("dilations", ())}
    )
    return (prod(sizes[:-1]), sizes[-1]) if fits and plain and blocking.output_shape[0] % CHANNEL_BLOCK else None


def _block_conv(conv: onnx.NodeProto, blocking: ColumnBlocking, window: tuple[int, int], editor: _GraphEditor) -> None:
    """Makes the convolution compute blocks.

    Its output channels become, from the outermost: rows of a pool window, columns of a window, windows of a block,
    original channels.
    """
    attributes, (rows, _) = integer_attributes(conv), window
    (channels, *spatial), kernel = blocking.input_shape, blocking.weight_shape[2:]
    rank = len(kernel)
    strides, pads = attributes.get("strides", [1] * rank), attributes.get("pads", [0] * 2 * rank)
    heights = [size + (rows - 1) * stride for size, stride in zip(kernel[:-1], strides, strict=False)]
    copies = editor.integers(rows * blocking.columns)
    quantized = next(node for node in editor.graph.node if conv.input[1] in node.output)
    weight = _blocked_kernel(quantized.input[0], blocking, (*heights, blocking.kernel_blocks), strides, window, editor)
    scales = [editor.node("Tile", name, copies) for name in quantized.input[1:]]
    blocks = (channels * blocking.width, *spatial[:-1], spatial[-1] // blocking.width)
    conv.input[:] = [
        editor.reshape_channels_last(conv.input[0], blocking.input_shape, blocks),
        editor.node("DequantizeLinear", weight, *scales, axis=0),
        *(editor.node("Tile", name, copies) for name in conv.input[2:]),
    ]
    before, after = blocking.pads
    new_strides = [*(rows * stride for stride in strides[:-1]), 1]
    new_pads = [*pads[: rank - 1], before, *pads[rank:-1], after]
    del conv.attribute[:]
    if {*new_strides} != {1}:
        conv.attribute.append(helper.make_attribute("strides", new_strides))
    if any(new_pads):
        conv.attribute.append(helper.make_attribute("pads", new_pads))


def _blocked_kernel(
    weight: str,
    blocking: ColumnBlocking,
    size: Sequence[int],
    strides: Sequence[int],
    window: tuple[int, int],
    editor: _GraphEditor,
) -> str:
    """The kernel (rows·columns·O, width·C, *size) from (O, C, *k): one copy per row and column, each shifted by a stride.

    Padding, repeating and cutting shifts the copies. With 5 weights `abcde`, 2 copies, stride 1 and 6 columns: pad to
    6 + 1 columns, `abcde00`; repeat and cut to 2·6 columns, `abcde00abcde`; as rows of 6, `abcde0` and `0abcde`.
    """
    (outputs, channels, *kernel), (rows, across) = blocking.weight_shape, window
    full = [*size[:-1], blocking.kernel_blocks * blocking.width]
    copies = [rows, blocking.columns][-len(full) :]
    front = [0, blocking.leading_zeros][-len(full) :]
    back = [f + s - b - k for f, s, b, k in zip(full, strides, front, kernel, strict=True)]
    tensor = editor.node("Pad", weight, editor.integers(0, 0, *front, 0, 0, *back))
    tensor = editor.node("Tile", tensor, editor.integers(1, 1, *copies))
    ends = (outputs, channels, *(f * c for f, c in zip(full, copies, strict=True)))
    tensor = editor.node("Slice", tensor, editor.integers(*[0] * len(ends)), editor.integers(*ends))
    # m: outputs, c: channels, r: rows of a window, h: kernel rows, w: windows in a block, q: columns of a window,
    # k: kernel blocks, g: columns of an input block
    axes = {"m": outputs, "c": channels, "r": rows, "h": prod(size[:-1])}
    axes |= {"w": blocking.columns // across, "q": across, "k": blocking.kernel_blocks, "g": blocking.width}
    tensor = editor.node("Reshape", tensor, editor.integers(*axes.values()))
    tensor = editor.node("Transpose", tensor, perm=[[*axes].index(axis) for axis in "rqwmgchk"])
    shape = rows * blocking.columns * outputs, blocking.width * channels, *size
    return editor.node("Reshape", tensor, editor.integers(*shape))


def _block_pool(pool: onnx.NodeProto, window: tuple[int, int], blocking: ColumnBlocking, editor: _GraphEditor) -> None:
    """Makes the pool read (windows·O, positions, rows·columns of a window) and take the maximum over the last axis."""
    rows, across = window
    (outputs, *spatial), channels = blocking.output_shape, blocking.columns // across * blocking.output_shape[0]
    size = rows * across
    positions = prod(spatial) // (rows * blocking.columns)
    pool.input[0] = editor.reshape_channels_last(
        pool.input[0], _blocked_output(blocking, window), (channels, positions, size)
    )
    del pool.attribute[:]
    pool.attribute.extend(helper.make_attribute(name, [1, size]) for name in ("kernel_shape", "strides"))
    pooled = [one // over for one, over in zip(spatial, window[-len(spatial) :], strict=True)]
    _restore_shape(pool, (channels, positions, 1), (outputs, *pooled), editor)


def _blocked_output(blocking: ColumnBlocking, window: tuple[int, int]) -> tuple[int, ...]:
    """The shape of one example of the blocked convolution's output."""
    rows, _ = window
    outputs, *heights, across = blocking.output_shape
    return rows * blocking.columns * outputs, *(size // rows for size in heights), across // blocking.columns


def _restore_shape(node: onnx.NodeProto, before: Sequence[int], after: Sequence[int], editor: _GraphEditor) -> None:
    """Reshapes a node's output from `before` to `after` under the name that the output has."""
    name = node.output[0]
    node.output[0] = editor.fresh_name()
    editor.reshape_channels_last(node.output[0], before, after, name)
