# SPDX-License-Identifier: MIT
"""The check before a run, training and predictions agree on every file: whether it can be used, and
its pixels."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_vit.data.checks.examine import examine
from keras_vit.data.dataset import Files
from keras_vit.data.images import opened, pixels_of, read_image
from keras_vit.data.pipeline import decoding
from keras_vit.data.pipeline.batches import evaluation_batches
from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing
from tests.contracts import slow_but

H, W = 20, 28


def picture():
    noise = np.random.default_rng(0).normal(size=(H, W, 3))
    values = np.clip(np.cumsum(np.cumsum(noise, 0), 1) * 3 + 128, 0, 255)
    return Image.fromarray(values.astype("uint8"))


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def variants():
    """name -> contents: everything that Pillow can write in the formats that are read."""
    rgb = picture()
    found = {}
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"):
        if mode == "I;16":
            image = Image.fromarray(np.asarray(rgb)[..., 0].astype("uint16") * 257)
        else:
            image = rgb.convert(mode)
        for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"):
            try:
                found[f"{kind} {mode}"] = encoded(image, kind)
            except (OSError, ValueError):
                continue  # no such form
    two = {"save_all": True, "append_images": [rgb.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]}
    for kind in ("PNG", "GIF", "WEBP", "TIFF", "MPO"):
        found[f"{kind} of two"] = encoded(rgb, kind, **two)
    found["APNG with another first picture"] = encoded(rgb, "PNG", default_image=True, **two)
    found["progressive"] = encoded(rgb, "JPEG", progressive=True)
    found["4:4:4"] = encoded(rgb, "JPEG", subsampling=0)
    found["4:2:2"] = encoded(rgb, "JPEG", subsampling=1)
    found["RGB JPEG"] = encoded(rgb, "JPEG", keep_rgb=True)
    grey = encoded(Image.new("L", (16, 16), 90), "JPEG")
    found["arithmetic coding"] = grey.replace(b"\xff\xc0", b"\xff\xc9", 1)
    found["restart markers"] = encoded(rgb, "JPEG", restart_marker_blocks=1)
    found["BMP of 16 colors"] = encoded(rgb.quantize(16), "BMP")
    found["BMP of 16 bits"] = bmp_of_16_bits()
    found["BMP from the top"] = bmp_of_16_bits(-1)
    found["palette with a transparent color"] = encoded(rgb.convert("P"), "PNG", transparency=3)
    found["palette with alpha"] = encoded(rgb.convert("P"), "PNG", transparency=bytes(range(99)))
    found["4 bits"] = encoded(rgb.quantize(16), "PNG", bits=4)
    for compression in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"):
        found[compression] = encoded(rgb, "TIFF", compression=compression)
    found["one pixel"] = encoded(rgb.crop((0, 0, 1, 1)), "PNG")
    found["long"] = encoded(rgb.resize((3000, 1)), "PNG")
    found["GIF smaller than its frame"] = patched(encoded(rgb, "GIF"), 6, struct.pack("<HH", 5, 5))
    return found


def turned():
    """Each orientation in each format that has EXIF; and EXIF that cannot be read."""
    found = {}
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            found[f"{kind} {orientation}"] = encoded(picture(), kind, exif=exif)
    for kind in ("JPEG", "PNG", "WEBP"):
        exif = Image.Exif()
        exif[0x0112] = 6
        whole = encoded(picture(), kind, exif=exif)
        place = whole.index(exif.tobytes().removeprefix(b"Exif\0\0")[:8])
        contents = whole[:place] + b"\xff" * 8 + whole[place + 8 :]
        found[f"{kind} broken"] = with_checksums(contents) if kind == "PNG" else contents
    return found


def bmp_of_16_bits(direction=1):
    pixels = np.random.default_rng(1).integers(0, 2**15, (H, W), "uint16").tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, W, direction * H, 1, 16, 0, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + header + pixels


def patched(contents, place, new):
    return contents[:place] + new + contents[place + len(new) :]


def with_checksums(png):
    """The same chunks, with the checksums that they should have."""
    parts, place = [png[:8]], 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        body = png[place + 4 : place + 8 + length]
        parts += [png[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + length
    return b"".join(parts)


def in_training(paths):
    """What the training pipeline makes of files: float32 `(files, 16, 16, 3)`."""
    examined = [examine(str(path), decode=False) for path in paths]
    orientation = np.array([one.orientation for one in examined], "uint8")
    split = Files(np.zeros(len(paths), "int64"), [str(p) for p in paths], orientation)
    return np.concatenate(
        [batch.numpy() for batch, _ in evaluation_batches(split, 1, Preprocessing((16, 16)), 8)]
    )


@pytest.mark.parametrize("make", [variants, turned])
def test_what_can_be_used_has_the_same_pixels_everywhere(tmp_path, make):
    paths = []
    for number, (name, contents) in enumerate(make().items()):
        # The suffix says nothing: half of them have a wrong one.
        path = tmp_path / f"{number}.{'jpg' if number % 2 else 'png'}"
        path.write_bytes(contents)
        assert examine(str(path)).problem is None, name
        paths.append(path)
    trained = in_training(paths)
    predicted = np.stack([read_image(path, Preprocessing((16, 16))) for path in paths])
    # Two implementations of one resize: 0.001 of 255, as `keras_vit.data.images` states.
    np.testing.assert_allclose(trained, predicted, atol=1e-3)


def test_all_orientations_show_the_same(tmp_path):
    grown = picture().resize((W * 8, H * 8))
    seen = []
    for orientation, method in enumerate((None, 0, 3, 1, 5, 2, 6, 4), 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = grown if method is None else grown.transpose(Image.Transpose(method))
        path = tmp_path / f"{orientation}.png"
        path.write_bytes(encoded(stored, "PNG", exif=exif))
        seen.append(read_image(path, Preprocessing((8, 8))))
    for pixels in seen[1:]:
        np.testing.assert_allclose(pixels, seen[0], atol=1e-3)


def test_exif_that_cannot_be_read_is_told_and_taken_as_upright(tmp_path):
    for name, contents in turned().items():
        (tmp_path / "a.jpg").write_bytes(contents)
        found = examine(str(tmp_path / "a.jpg"))
        assert ("EXIF" in found.traits) == name.endswith("broken"), name
        assert found.problem is None


def damaged():
    """Files that nobody may use, with the reason."""
    rgb = picture()
    png, jpg = encoded(rgb, "PNG"), encoded(rgb, "JPEG")
    yield b"", "is empty"
    yield b"<html>", "is not a readable image"
    yield jpg[:-80], "cannot be decoded"
    yield png[: len(png) // 2], "cannot be decoded"
    yield encoded(rgb.convert("F"), "TIFF"), "32"
    yield encoded(rgb.convert("I"), "TIFF"), "32"
    yield with_checksums(patched(png, 16, struct.pack(">II", 0, 5))), "."
    yield with_checksums(patched(png, 16, struct.pack(">II", 10**9, 10**9))), "limit"
    yield with_checksums(patched(png, 16, struct.pack(">II", 70_000, 1))), "sides of 1 to 65,535"
    yield encoded(rgb, "TIFF")[:40], "."
    yield b"\0\0\0\x18ftypheic" + bytes(12), "."


def test_what_cannot_be_used_is_refused_everywhere(tmp_path):
    path = tmp_path / "a.png"
    for contents, reason in damaged():
        path.write_bytes(contents)
        assert reason in examine(str(path)).problem
        with pytest.raises(UserError, match=str(path)):
            read_image(path, Preprocessing((8, 8)))


@pytest.mark.parametrize("count", slow_but([100], [100, 400]))
def test_mutants(tmp_path, count):
    """Whatever bytes change: the check and predictions agree, and nothing but a `UserError`."""
    source = random.Random(0)
    seeds = [c for name, c in variants().items() if " RGB" in name or " P" in name or "two" in name]
    for number in range(count):
        mutant = bytearray(source.choice(seeds))
        for _ in range(source.choice((1, 2, 8))):
            mutant[source.randrange(len(mutant))] = source.randrange(256)
        mutant = mutant[: source.choice((len(mutant), source.randrange(len(mutant))))]
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(mutant)
        problem = examine(str(path)).problem
        try:
            with opened(path) as image:
                pixels_of(image, path)
            assert problem is None
        except UserError as error:
            assert problem == str(error)


@pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('pillow_heif')",
    reason="HEIC needs the extra `heif`",
)
def test_heic(tmp_path):
    import pillow_heif

    pillow_heif.register_heif_opener()
    path = tmp_path / "a.heic"
    path.write_bytes(encoded(picture(), "HEIF", quality=-1))
    assert examine(str(path)).problem is None
    np.testing.assert_allclose(
        in_training([path])[0], read_image(path, Preprocessing((16, 16))), atol=1e-3
    )


def test_heic_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    assert "pip install 'keras-vit-toolkit[heif]'" in examine(str(path)).problem


def test_what_only_tensorflow_cannot_decode_is_named(tmp_path, monkeypatch):
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    good.write_bytes(encoded(picture(), "JPEG"))
    bad.write_bytes(encoded(picture(), "JPEG")[:-80])
    monkeypatch.setattr(decoding, "problems_of", lambda paths: [])  # as if Pillow could
    found = decoding.undecodable([str(good), str(bad)])
    assert found == [f"{bad}: cannot be decoded by TensorFlow."]
