"""Arrays stand in for the data set of the train section: the input of the network decides their shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnc

NETWORK = "input 2x6x6; conv 3 k=3; relu; global_pool avg; fc 4; softmax; train { data digits val=0.2; epochs 1 }"


def test_arrays_of_another_shape_than_the_named_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = cnnc.check(NETWORK)
    assert {d.code for d in network.diagnostics} == {"E507", "E508"}, "without arrays, digits do not fit"
    x, y = np.random.default_rng(0).random((50, 2, 6, 6), np.float32), np.arange(50) % 4
    result = cnnc.train(network, data=(x, y))
    assert len(result.run.validation) == 9, "val= of the train section counts"
    assert cnnc.resume(result, data=(x, y), settings=["train.epochs=2"]).best_epoch <= 2
    assert cnnc.Model.load(result.folder)(x)["softmax1"].shape == (50, 4)
    assert cnnc.evaluate(result, (x, y)).score.total == 50
    assert cnnc.data(network, data=(x, y)).facts["shares"]["training"]["examples"] == 37, "nothing is held back twice"
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.train(network)
    assert [d.code for d in caught.value.diagnostics] == ["E507", "E508"]


def test_arrays_do_not_excuse_other_errors() -> None:
    network = cnnc.check(NETWORK.replace("k=3", "k=9"))
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.train(network, data=(np.zeros((50, 2, 6, 6)), np.arange(50) % 4))
    assert "E302" in {d.code for d in caught.value.diagnostics}
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.train(cnnc.check(NETWORK), data=(np.zeros((50, 1, 8, 8)), np.arange(50) % 4))
    assert [d.code for d in caught.value.diagnostics] == ["E602"], "the input of the network decides"
