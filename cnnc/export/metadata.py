"""What an exported model carries beside its graph: the source, and what its user needs to feed and read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.network import Network


def metadata(
    network: Network, classes: Sequence[str], versions: Mapping[str, str], trained: Mapping[str, Any] | None
) -> dict[str, str]:
    """The model's metadata properties; `cnnc.facts` is JSON, `cnnc.source` the text as it was checked."""
    graph = network.require_graph()
    facts = {
        "name": network.name,
        "file": network.source.name,
        "classes": list(classes),
        "data": network.recipe.data.name if network.recipe is not None else None,
        "preprocessing": {
            "layout": "channels first",
            "range": [0, 1],
            "shape": list(graph.inputs[0].type.shape),
        },
        "trained": dict(trained) if trained is not None else None,
        "settings": list(network.settings),
    }
    return {
        "cnnc.version": versions["cnnc"],
        "cnnc.source": network.source.text,
        "cnnc.sha256": network.sha256,
        "cnnc.facts": json.dumps(facts, sort_keys=True, ensure_ascii=False),
    }
