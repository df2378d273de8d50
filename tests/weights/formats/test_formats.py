# SPDX-License-Identifier: MIT
"""What is written is what is read, whatever the names, shapes and numbers."""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_vit import UserError
from keras_vit.weights.formats import open_checkpoint, write_npz, write_safetensors
from keras_vit.weights.formats.checkpoint import from_bfloat16

NAMES = st.text("abcXYZ019._", min_size=1, max_size=20).filter(lambda name: name != "..")
ARRAYS = st_numpy.arrays(
    np.float32, st_numpy.array_shapes(min_dims=0, max_dims=4, max_side=5), fill=st.nothing()
)
TENSORS = st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=6)


def makers(tensors):
    return [(name, array.shape, lambda array=array: array) for name, array in tensors.items()]


@settings(max_examples=60)
@given(TENSORS)
def test_round_trip(tensors):
    with tempfile.TemporaryDirectory() as folder:
        write_safetensors(Path(folder) / "x.safetensors", makers(tensors), {"format": "pt"})
        write_npz(Path(folder) / "x.npz", makers(tensors))
        for name in ("x.safetensors", "x.npz"):
            found = open_checkpoint(Path(folder) / name)
            assert set(found) == set(tensors)
            for key, array in tensors.items():
                assert found.specs[key].shape == array.shape
                assert np.array_equal(found[key], array, equal_nan=True)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([".npz", ".safetensors"]), st.booleans())
def test_any_bytes_are_an_error_or_a_file(data, ending, plausible):
    if plausible and ending == ".safetensors":
        data = len(data).to_bytes(8, "little") + data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        path.write_bytes(data)
        try:
            found = open_checkpoint(path)
        except UserError:
            return
        for name in found:
            assert found[name].shape == found.specs[name].shape


@settings(max_examples=100)
@given(st.integers(0, 2000), st.integers(0, 255), st.sampled_from([".npz", ".safetensors"]))
def test_any_changed_byte_is_an_error_or_a_file(where, value, ending):
    tensors = {"a": np.ones((3, 4), np.float32), "b": np.zeros(5, np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        if ending == ".npz":
            write_npz(path, makers(tensors))
        else:
            write_safetensors(path, makers(tensors), {})
        data = bytearray(path.read_bytes())
        data[where % len(data)] = value
        path.write_bytes(data)
        try:
            found = open_checkpoint(path)
            for name in found:
                assert found[name].shape == found.specs[name].shape
        except UserError:
            pass


def test_float16_keeps_eleven_bits(tmp_path):
    array = np.linspace(-3, 3, 35, dtype="float32").reshape(5, 7)
    write_safetensors(tmp_path / "x.safetensors", makers({"a": array}), {}, "float16")
    found = open_checkpoint(tmp_path / "x.safetensors")
    assert found.specs["a"] == ((5, 7), "float16")
    assert np.array_equal(found["a"], array.astype("float16"))


def test_our_safetensors_are_theirs(tmp_path):
    theirs = pytest.importorskip("safetensors.numpy")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_safetensors(tmp_path / "x.safetensors", makers({"a": array}), {"format": "pt"})
    assert np.array_equal(theirs.load_file(tmp_path / "x.safetensors")["a"], array)
    theirs.save_file({"a": array, "b": array[0]}, tmp_path / "y.safetensors")
    found = open_checkpoint(tmp_path / "y.safetensors")
    assert np.array_equal(found["a"], array)
    assert np.array_equal(found["b"], array[0])


def test_bfloat16(tmp_path):
    """Every bfloat16 is the float32 of its upper half; big_vision stores it as raw two bytes."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = np.arange(2**16, dtype=np.uint16)
    expected = bits.view(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(from_bfloat16(bits), expected, equal_nan=True)
    np.savez(tmp_path / "x.npz", a=bits.view("V2").reshape(256, 256))
    found = open_checkpoint(tmp_path / "x.npz")
    assert found.specs["a"] == ((256, 256), "bfloat16")
    assert np.array_equal(found["a"], expected.reshape(256, 256), equal_nan=True)


def test_fortran_order(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.savez(tmp_path / "x.npz", a=array)
    assert np.array_equal(open_checkpoint(tmp_path / "x.npz")["a"], array)


def test_opening_three_gigabytes_reads_the_header_only(tmp_path):
    path = tmp_path / "x.safetensors"
    size = 3 * 2**30
    header = f'{{"a":{{"dtype":"F32","shape":[{size // 4}],"data_offsets":[0,{size}]}}}}'.encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)  # a hole: it takes no room on the disk
    tracemalloc.start()
    found = open_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.specs["a"].size == size // 4
    assert peak < 2**20
