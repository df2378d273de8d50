# SPDX-License-Identifier: MIT
"""PyTorch's own files: opened without running them, where PyTorch is installed."""

import sys

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights.formats import open_checkpoint


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def test_without_torch_it_says_what_to_type(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    (tmp_path / "x.pth").write_bytes(b"")
    with pytest.raises(UserError, match="pip install torch"):
        open_checkpoint(tmp_path / "x.pth")


def test_state_dicts(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch.arange(6.0).reshape(2, 3)
    for i, saved in enumerate(
        ({"a": values}, {"model": {"a": values}, "epoch": 3}, {"state_dict": {"a": values}})
    ):
        torch.save(saved, tmp_path / f"{i}.pth")
        found = open_checkpoint(tmp_path / f"{i}.pth")
        assert list(found) == ["a"]
        assert np.array_equal(found["a"], values.numpy())
    torch.save({"a": values.bfloat16()}, tmp_path / "x.bin")
    assert np.array_equal(open_checkpoint(tmp_path / "x.bin")["a"], values.numpy())


def test_a_pickle_runs_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    trace = tmp_path / "trace"
    torch.save({"a": Bomb(trace)}, tmp_path / "x.pth")
    with pytest.raises(UserError, match="restricted reader refuses"):
        open_checkpoint(tmp_path / "x.pth")
    (tmp_path / "y.pth").write_bytes(b"no pickle at all")
    with pytest.raises(UserError, match="restricted reader refuses"):
        open_checkpoint(tmp_path / "y.pth")
    torch.save({"epoch": 3}, tmp_path / "z.pth")
    with pytest.raises(UserError, match="received none"):
        open_checkpoint(tmp_path / "z.pth")
    assert not trace.exists()
