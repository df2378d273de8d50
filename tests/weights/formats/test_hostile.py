# SPDX-License-Identifier: MIT
"""Files from strangers: each is a clear error, nothing in them runs, and memory stays small."""

import io
import json
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights.formats import open_checkpoint, write_npz, write_safetensors

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.fixture(autouse=True)
def little_memory():
    """At most 1 GiB of address space more than now: an explosion fails, and kills nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def safetensors(path: Path, header, numbers: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + text + numbers)
    return path


def npz(path: Path, members: dict[str, bytes], compression=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    return path


def npy(shape: str, descr: str = "<f4", numbers: bytes = b"") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(118 - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + numbers


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize(
    ("header", "numbers", "length", "said"),
    [
        ({"a": F32}, b"\0" * 8, 10**12, "truncated or not safetensors"),
        ({"a": F32}, b"\0" * 8, 1, "truncated or not safetensors"),
        (b"{not json", b"", None, "not JSON"),
        (b"[" * 100_000, b"", None, "not JSON"),
        (b"[]", b"", None, "expected an object"),
        (b'{"a": {}, "a": {}}', b"", None, "'a' stands twice"),
        ({"a": F32}, b"\0" * 4, None, "truncated"),
        ({"a": F32}, b"\0" * 12, None, "longer than it says"),
        ({"a": F32, "b": F32}, b"\0" * 8, None, "overlaps"),
        ({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, b"\0" * 12, None, "overlaps"),
        ({"a": {**F32, "data_offsets": [4, 12]}}, b"\0" * 12, None, "gap"),
        ({"a": {**F32, "shape": [10**12]}}, b"\0" * 8, None, "has 4000000000000 bytes"),
        ({"a": {**F32, "shape": [2**40, 2**40]}}, b"\0" * 8, None, "bytes"),
        ({"a": {**F32, "shape": [-2]}}, b"\0" * 8, None, "whole numbers"),
        ({"a": {**F32, "shape": [True]}}, b"\0" * 8, None, "whole numbers"),
        ({"a": {**F32, "shape": [1] * 20}}, b"\0" * 8, None, "at most 8"),
        ({"a": {**F32, "dtype": "PICKLE"}}, b"\0" * 8, None, "one of the types"),
        ({"a": {**F32, "dtype": ["F32"]}}, b"\0" * 8, None, "one of the types"),
        ({"a": {"dtype": "F32"}}, b"", None, "expected dtype, shape and data_offsets"),
        ({"../../etc/passwd": F32}, b"\0" * 8, None, "leaves its folder"),
        ({"/etc/passwd": F32}, b"\0" * 8, None, "leaves its folder"),
        ({"a\nb": F32}, b"\0" * 8, None, "printable"),
        ({"a" * 10_000: F32}, b"\0" * 8, None, "printable"),
        ({"a": F32, "__metadata__": {"b": 1}}, b"\0" * 8, None, "__metadata__"),
    ],
)
def test_safetensors_that_lie(tmp_path, header, numbers, length, said):
    path = safetensors(tmp_path / "x.safetensors", header, numbers, length)
    with pytest.raises(UserError, match=said):
        open_checkpoint(path)


def test_a_pickled_npz_runs_nothing(tmp_path):
    trace = tmp_path / "trace"
    array = np.array([Bomb(trace)], dtype=object)
    np.savez(tmp_path / "x.npz", a=array)
    with pytest.raises(UserError, match="pickled Python objects"):
        open_checkpoint(tmp_path / "x.npz")
    pickled = npz(tmp_path / "y.npz", {"a.npy": pickle.dumps(Bomb(trace))})
    with pytest.raises(UserError, match="not a NumPy array"):
        open_checkpoint(pickled)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a.npy": npy("(1000000000000,)")}, "has 4000000000000 bytes"),
        ({"a.npy": npy("(3,)", numbers=b"\0" * 8)}, "has 12 bytes"),
        ({"a.npy": npy("(2,)", "<U2", b"\0" * 16)}, "expected numbers"),
        ({"a.npy": npy("('x',)")}, "not a NumPy array"),
        ({"a.npy": npy("(__import__('os').getpid(),)")}, "not a NumPy array"),
        ({"a.npy": b"hello"}, "not a NumPy array"),
        ({"../a.npy": npy("(2,)", numbers=b"\0" * 8)}, "leaves its folder"),
        ({}, "no tensors"),
    ],
)
def test_npz_that_lies(tmp_path, members, said):
    with pytest.raises(UserError, match=said):
        open_checkpoint(npz(tmp_path / "x.npz", members))


def test_a_name_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, pytest.warns(UserWarning):
        for _ in range(2):
            archive.writestr("a.npy", npy("(2,)", numbers=b"\0" * 8))
    with pytest.raises(UserError, match="twice"):
        open_checkpoint(tmp_path / "x.npz")


def test_a_zip_bomb(tmp_path):
    numbers = b"\0" * 2**26
    path = npz(
        tmp_path / "x.npz", {"a.npy": npy("(16777216,)", numbers=numbers)}, zipfile.ZIP_DEFLATED
    )
    with pytest.raises(UserError, match="unpacks to 67,108,992 bytes"):
        open_checkpoint(path)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_truncated_file(tmp_path, ending):
    whole = tmp_path / f"whole{ending}"
    tensors = [("a", (100,), lambda: np.ones(100)), ("b", (100,), lambda: np.ones(100))]
    if ending == ".npz":
        write_npz(whole, tensors)
    else:
        write_safetensors(whole, tensors, {})
    data = whole.read_bytes()
    for size in (0, 5, 100, len(data) // 2, len(data) - 1):
        part = tmp_path / f"part{ending}"
        part.write_bytes(data[:size])
        with pytest.raises(UserError):
            open_checkpoint(part)


def test_a_flipped_bit_is_noticed_when_read(tmp_path):
    path = tmp_path / "x.npz"
    write_npz(path, [("a", (1000,), lambda: np.ones(1000))])
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    checkpoint = open_checkpoint(path)
    with pytest.raises(UserError, match="not a sound"):
        checkpoint["a"]


def test_an_index_that_points_elsewhere(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    for part in ("../x.safetensors", "/etc/x.safetensors", "..", "a\\b.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": part}}))
        with pytest.raises(UserError, match="not the name of a file"):
            open_checkpoint(tmp_path)


def test_parts_of_a_checkpoint(tmp_path):
    for name in ("one", "two"):
        write_safetensors(tmp_path / f"{name}.safetensors", [(name, (1,), lambda: np.ones(1))], {})
    index = tmp_path / "model.safetensors.index.json"
    parts = {name: f"{name}.safetensors" for name in ("one", "two")}
    index.write_text(json.dumps({"weight_map": parts}))
    assert sorted(open_checkpoint(tmp_path)) == ["one", "two"]
    index.write_text(json.dumps({"weight_map": parts | {"three": "two.safetensors"}}))
    with pytest.raises(UserError, match="in no file"):
        open_checkpoint(tmp_path)


def test_paths_without_weights(tmp_path):
    for path, said in (
        (tmp_path / "absent.npz", "no such file"),
        (tmp_path, "found none"),
    ):
        with pytest.raises(UserError, match=said):
            open_checkpoint(path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="ends in one of"):
        open_checkpoint(tmp_path / "notes.txt")
    stream = io.BytesIO()
    np.save(stream, np.ones(2))
    (tmp_path / "x.npz").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="not a sound"):
        open_checkpoint(tmp_path / "x.npz")
