# SPDX-License-Identifier: MIT
"""Every function that reads a file from a stranger, as a function of bytes, with small files to
start from.

A target returns or raises a `UserError`; anything else is a finding. `fuzz/run.py` runs one under
atheris, `tests/test_fuzz.py` all of them under hypothesis.
"""

import atexit
import dataclasses
import gzip
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_vit import recipes
from keras_vit.data.checks.examine import examine
from keras_vit.data.checks.fingerprint import changes_since
from keras_vit.data.images import read_image
from keras_vit.data.sources.archive import _BROKEN, _tar_members, _zip_members
from keras_vit.data.sources.arrays import npz_splits
from keras_vit.data.sources.manifest import list_manifest
from keras_vit.errors import UserError
from keras_vit.export.metadata import Metadata
from keras_vit.preprocessing import Preprocessing
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import parse_json
from keras_vit.untrusted.text import csv_cell, from_csv_cell, markdown, visible
from keras_vit.untrusted.zips import open_zip, read_member
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.registry import describer_of

# In memory where that is a folder: a hundred thousand files are written to it.
FOLDER = Path(
    tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
)

atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        read: takes the contents of a file.
        seeds: sound files of a few hundred bytes.
    """

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]

    def __call__(self, contents: bytes) -> bool:
        """Whether the reader accepted the contents; raises for anything but a `UserError`."""
        try:
            self.read(contents)
        except UserError as error:
            visible(error).encode()  # every message can be shown
            return False
        return True


def on_disk(suffix: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of paths as a reader of contents."""
    path = FOLDER / f"file{suffix}"

    def read_contents(contents: bytes) -> object:
        path.write_bytes(contents)
        return read(path)

    return read_contents


def _json(contents: bytes) -> None:
    value = parse_json(contents, "file")
    if json.loads(contents.decode("utf-8-sig")) != value:
        raise AssertionError("JSON was read otherwise than by the standard library")


def _zip(path: Path) -> None:
    with open_zip(path, limits.ASSOCIATED) as archive:
        for info in archive.infolist():
            if len(read_member(archive, info.filename, limits.JSON, path)) != info.file_size:
                raise AssertionError("a member has another size than it declares")


def _metadata(path: Path) -> None:
    metadata = Metadata.read(path)
    if metadata is not None and Metadata.parse(metadata.to_json(), path) != metadata:
        raise AssertionError("metadata changed on the way")


def _image(path: Path) -> None:
    problem = examine(str(path)).problem
    try:
        pixels = read_image(path, Preprocessing((4, 4)))
    except UserError as error:
        if problem != str(error):
            raise AssertionError(f"examined: {problem}; read: {error}") from error
        raise
    if problem is not None or pixels.shape != (4, 4, 3) or not np.isfinite(pixels).all():
        raise AssertionError(f"examined: {problem}; read: {pixels.shape}")


def _checkpoint(path: Path) -> None:
    checkpoint = open_checkpoint(path)
    for name, spec in checkpoint.specs.items():
        if checkpoint[name].shape != spec.shape:
            raise AssertionError("a tensor has another shape than it declares")


def _described(contents: bytes) -> None:
    """What the family that wrote a config.json makes of it."""
    config = parse_json(contents, "config.json", dict[str, Any])
    adapter = describer_of(config)
    if adapter is None:
        raise UserError("config.json: of no family")
    adapter.check_described(config, "config.json")
    adapter.facts(config, FOLDER / "config.json", None)


def _members(members) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        try:
            for _, content, _ in members(path, FOLDER):
                while content.read(1 << 20):
                    pass
        except _BROKEN as error:  # what `unpacked` makes a `UserError` of
            raise UserError(f"{path}: {error}") from error

    return read


def _recipe(contents: bytes) -> None:
    recipe = recipes.from_dict(parse_json(contents, "recipe.json", dict[str, Any]))
    if recipes.from_dict(json.loads(json.dumps(recipes.to_dict(recipe)))) != recipe:
        raise AssertionError("a recipe changed on the way")


def _text(contents: bytes) -> None:
    text = contents.decode("utf-8", "surrogateescape")
    if from_csv_cell(csv_cell(text)) != text:
        raise AssertionError("a cell changed on the way")
    for shown in (visible(text), markdown(text)):
        shown.encode("utf-8")
        if any(sign in shown for sign in "\n\r\x1b\x9b\u2028\u202e"):
            raise AssertionError(f"{shown!r} can steer a terminal")
    if "<" in markdown(text):
        raise AssertionError("a page can hold HTML")


def _recipe_of(name: str) -> bytes:
    return json.dumps(recipes.to_dict(recipes.get(name))).encode()


def _picture(kind: str, **options) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), "uint8")
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def _pictures() -> tuple[bytes, ...]:
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [Image.new("RGB", (5, 6))]}
    return (
        *(_picture(kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF")),
        *(_picture(kind, **frames) for kind in ("GIF", "WEBP", "PNG")),
        *(_picture(kind) for kind in ("BMP", "GIF")),
        _picture("JPEG", progressive=True),
        _picture("TIFF", compression="tiff_lzw"),
    )


def _zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, contents in members.items():
            archive.writestr(zipfile.ZipInfo(name), contents, method)
    return stream.getvalue()


def _tarred(form: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name in ("cat/1.png", "dog/" + "1" * 120 + ".png"):
            info = tarfile.TarInfo(name)
            info.size = 9
            archive.addfile(info, io.BytesIO(b"123456789"))
    return stream.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _safetensors() -> bytes:
    entry = {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}
    header = json.dumps({"a": entry, "__metadata__": {"b": "c"}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


def _saved_model(contents: bytes) -> None:
    from keras_vit.export.saved_model_check import check_saved_model  # brings TensorFlow

    folder = FOLDER / "saved_model"
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(contents)
    check_saved_model(folder)


def _graph(operator: bytes) -> bytes:
    """A SavedModel of one node and one object, in the format of protocol buffers."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    node = field(1, field(1, b"x") + field(2, operator))
    return b"\x08\x01" + field(2, field(2, node) + field(7, field(1, b"")))


METADATA = Metadata("cats", ("cat", "dog"), (8, 8), 3, flops=9)
IMAGES = np.zeros((4, 2, 2), "uint8")
INDEX = {"classes": ["a", "b"], "train": {"files": [["a.png", 1, 0]]}}
INDEX |= {"validation": {"examples": 1, "sha256": "0"}, "test": {"examples": 1, "sha256": "0"}}
CARDS = 'path,label,split\na.png,cat|dog,train\n"b.png","[""cat""]",val\n'
ROWS = (
    '{"path": "a.png", "label": ["cat", "dog"]}\n{"file": "b.png", "class": 7, "split": "test"}\n'
)

TIMM_CONFIG = {"architecture": "vit_tiny_patch16_224", "global_pool": "token"}
TIMM_CONFIG |= {"model_args": {"img_size": [8, 8], "act_layer": "gelu", "num_heads": 3}}
TIMM_CONFIG |= {"pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.5], "std": 0.5}}
HF_CONFIG = {"model_type": "vit", "hidden_size": 8, "num_attention_heads": 2, "image_size": 8}
HF_CONFIG |= {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "pooler_act": "tanh"}

TARGETS: dict[str, Target] = {
    "json": Target(_json, (METADATA.to_json().encode(), b'[1.5e3, null, {"\\u00e4": [true]}]')),
    "zip": Target(
        on_disk(".zip", _zip),
        (_zipped({"a": b"1" * 40, "b/c": b""}), _zipped({"a": b"1"}, zipfile.ZIP_STORED)),
    ),
    "metadata": Target(
        on_disk(".tflite", _metadata),
        (b"TFL3" + _zipped({name: text.encode() for name, text in METADATA.files().items()}), b"T"),
    ),
    "safetensors": Target(on_disk(".safetensors", _checkpoint), (_safetensors(),)),
    "npz": Target(on_disk(".npz", _checkpoint), (_npz(a=np.ones((2, 1), "float32")),)),
    "config.json of weights": Target(
        _described, (json.dumps(TIMM_CONFIG).encode(), json.dumps(HF_CONFIG).encode())
    ),
    "npz of images": Target(
        on_disk(".npz", npz_splits),
        (
            _npz(images=IMAGES, labels=np.arange(4) % 2),
            _npz(x=IMAGES, y=np.eye(4), classes=list("abcd")),
        ),
    ),
    "recipe": Target(
        _recipe,
        tuple(map(_recipe_of, ("digits", "masked_autoencoder"))),
    ),
    "table": Target(on_disk(".csv", list_manifest), (CARDS.encode(),)),
    "lines": Target(on_disk(".jsonl", list_manifest), (ROWS.encode(),)),
    "image": Target(on_disk(".jpg", _image), _pictures()),
    "zip of images": Target(
        on_disk(".zip", _members(_zip_members)), (_zipped({"cat/1.png": b"1", "dog/1.png": b"2"}),)
    ),
    "tar of images": Target(
        on_disk(".tar", _members(_tar_members)),
        tuple(map(_tarred, (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))),
    ),
    "index": Target(
        on_disk(".json.gz", lambda path: changes_since(path, INDEX)),
        (gzip.compress(json.dumps({**INDEX, "classes": []}).encode(), mtime=0),),
    ),
    "saved model": Target(_saved_model, (_graph(b"MatMul"),)),
    "text": Target(_text, (b"<b>=1|\x1b[2J_a_`\n\xe9", "é 日本".encode())),
}
