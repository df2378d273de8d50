# SPDX-License-Identifier: MIT
"""PyTorch's own files: opened without running them, where PyTorch is installed."""

import os
import sys

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights.formats import open_checkpoint, open_torch


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


def test_what_trainings_save_beside_plain_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "x.pt")
    assert np.array_equal(open_checkpoint(tmp_path / "x.pt")["a"], [1, 1])


@pytest.mark.parametrize(
    "kind", ["expanded", "sparse", "meta", "quantized", "complex", "float8", "itself"]
)
def test_tensors_that_are_no_numbers_of_the_file(tmp_path, kind):
    torch = pytest.importorskip("torch")
    ones, itself = torch.ones(4), {}
    itself["model"] = itself
    make = {
        "expanded": lambda: torch.zeros(1).expand(10**5, 10**5),
        "sparse": lambda: torch.sparse_coo_tensor([[0]], [1.0], (10**12,)),
        "meta": lambda: torch.empty(10**10, device="meta"),
        "quantized": lambda: torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8),
        "complex": lambda: ones.to(torch.complex64),
        "float8": lambda: ones.to(torch.float8_e4m3fn),
    }
    torch.save(itself if kind == "itself" else {"a": make[kind]()}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: (tensor 'a'|expected a state dict)"):
        open_checkpoint(tmp_path / "x.pt")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt"):
        open_torch(tmp_path / "x.pt")
