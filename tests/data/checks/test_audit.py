# SPDX-License-Identifier: MIT
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError
from keras_vit.data import audit_files
from tests.data.test_images import png_header


def save(path, seed=0, size=(12, 16), **options):
    """A file that no other seed makes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype("uint8")
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def divided(tmp_path):
    """Two splits of two classes of three images each; nothing is wrong."""
    for i, split in enumerate(("train", "val")):
        for j, label in enumerate(("cat", "dog")):
            for k in range(3):
                save(tmp_path / split / label / f"{k}.png", 100 * i + 10 * j + k)
    return tmp_path


def findings(root):
    found = audit_files(str(root))
    return {finding.kind: finding for finding in found.findings}, found


def test_nothing_is_wrong(divided):
    kinds, found = findings(divided)
    assert kinds == {} and found.ok
    assert found.images == {
        "train": {"cat": 3, "dog": 3},
        "validation": {"cat": 3, "dog": 3},
    }


def test_every_broken_file_is_named_with_its_reason(divided):
    folder = divided / "train" / "cat"
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html>")
    (folder / "bomb.png").write_bytes(png_header(20_000, 20_000))
    Image.new("F", (9, 9)).save(folder / "scan.jpg", "TIFF")  # 32 bits to a channel
    whole = save(folder / "cut.jpg", size=(60, 60)).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[:-100])
    (folder / "lost.png").symlink_to("nowhere.png")
    kinds, found = findings(divided)
    assert not found.ok
    assert list(kinds) == ["unreadable"]
    for name, reason in {
        "bomb.png": "more than the limit",
        "cut.jpg": "truncated",
        "empty.jpg": "is empty",
        "lost.png": "no such file",
        "page.jpg": "not a readable image",
        "scan.jpg": "cannot be decoded",
    }.items():
        matching = [item for item in kinds["unreadable"].items if name in item]
        assert len(matching) == 1 and reason in matching[0]
    assert len(kinds["unreadable"].items) == 6
    assert found.images["train"]["cat"] == 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_file_cut_anywhere_is_found(tmp_path, suffix, options):
    """Also by the fast way that JPEG files are decoded in."""
    whole = save(tmp_path / "a" / f"whole.{suffix}", size=(90, 120), **options).read_bytes()
    save(tmp_path / "b" / "1.png", 1)
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
        (tmp_path / "a" / f"{share}.{suffix}").write_bytes(whole[: int(share * len(whole))])
    kinds, found = findings(tmp_path)
    assert len(kinds["unreadable"].items) == 7
    assert found.images["train"] == {"a": 1, "b": 1}


def test_classes(divided):
    shutil.rmtree(divided / "val" / "dog")
    (divided / "val" / "fox").mkdir()
    kinds, _ = findings(divided)
    assert kinds["class names"].items == ("dog", "fox")
    assert kinds["empty class"].items == ("validation: fox",)
    shutil.rmtree(divided / "train" / "dog")
    assert "cat is the only class" in findings(divided)[0]["one class"].text


def test_equal_files(divided):
    first = divided / "train" / "cat" / "0.png"
    shutil.copy(first, divided / "val" / "cat" / "again.png")
    kinds, found = findings(divided)
    assert not found.ok
    assert kinds["leak"].items == (f"{first} = {divided / 'val' / 'cat' / 'again.png'}",)
    shutil.copy(first, divided / "train" / "dog" / "other.png")
    assert set(findings(divided)[0]) == {"leak", "two labels"}


def test_copies_in_a_class_are_a_warning(photos, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    shutil.copy(root / "dark" / "00.png", root / "dark" / "copy.png")
    kinds, found = findings(root)
    assert found.ok and list(kinds) == ["copies"]
    assert "held out of this folder" in kinds["copies"].text


def test_warnings(divided):
    folder = divided / "train" / "cat"
    for name in ("a.psd", "b.PSD", "notes.txt", "none"):
        (folder / name).write_text(name)
    (folder / ".hidden").write_text("")
    save(folder / "tiny.png", 901, (7, 9))
    save(folder / "long.png", 902, (8, 81))
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "phone.jpg", 903, exif=exif)
    for i in range(25):
        save(folder / f"more{i}.png", 1000 + i)
    kinds, found = findings(divided)
    assert found.ok
    assert set(kinds) == {"ignored", "tiny", "elongated", "rotated", "imbalance"}
    assert kinds["ignored"].items == (".psd: 2", "(none): 1", ".txt: 1")
    assert kinds["tiny"].items == (f"{folder / 'tiny.png'}: 9 x 7",)
    assert kinds["elongated"].items == (f"{folder / 'long.png'}: 81 x 8",)
    assert kinds["rotated"].text.startswith("1 image")
    assert kinds["imbalance"].text == "31 images of cat to train, but 3 of dog"


def test_traits(divided):
    folder = divided / "train" / "cat"
    random = np.random.default_rng(5)
    frames = [Image.fromarray(random.integers(0, 256, (9, 9)).astype("uint8")) for _ in range(2)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(random.integers(0, 2**16, (9, 9)).astype("uint16")).save(folder / "b.png")
    Image.new("CMYK", (9, 9), (9, 8, 7, 6)).save(folder / "c.jpg")
    Image.new("RGBA", (9, 9), (9, 8, 7, 6)).save(folder / "d.png")
    kinds, found = findings(divided)
    assert found.ok
    assert {kind: len(finding.items) for kind, finding in kinds.items()} == {
        "animated": 1,
        "16-bit": 1,
        "CMYK": 1,
        "alpha": 1,
    }


def test_what_cannot_be_audited(tmp_path):
    for source, message in (
        ("digits", "has no image files"),
        (str(tmp_path / "nowhere"), "no data at"),
        (str(tmp_path), "has no folders"),
    ):
        with pytest.raises(UserError, match=message):
            audit_files(source)


def test_nothing_is_changed(divided):
    (divided / "train" / "cat" / "page.jpg").write_bytes(b"<html>")

    def state():
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in divided.rglob("*.*")}

    before = state()
    audit_files(str(divided))
    assert state() == before
