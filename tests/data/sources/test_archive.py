# SPDX-License-Identifier: MIT
"""Archives as sources, and those that try to do harm."""

import dataclasses
import io
import os
import shutil
import stat
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_vit import UserError, data
from keras_vit.data.sources.archive import unpacked
from keras_vit.untrusted import limits


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("KERAS_VIT_CACHE", str(folder))
    return folder


def nothing_was_unpacked(cache):
    return not (cache / "archives").exists() or not any((cache / "archives").iterdir())


@pytest.mark.parametrize("format", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("base", [None, "photos"])  # classes at the top, or one folder there
def test_an_archive_is_the_folder_that_it_holds(photos, tmp_path, cache, format, base):
    root = tmp_path / "in"
    shutil.copytree(photos, root / "photos")
    (root / "photos" / "__MACOSX").mkdir()
    top = root if base else root / "photos"
    path = shutil.make_archive(str(tmp_path / "out"), format, top, base)
    (images, _), (expected, _) = data.load(path), data.load(str(photos))
    assert images.classes == ("dark", "light")
    for split in ("train", "validation", "test"):
        ours, theirs = getattr(images, split), getattr(expected, split)
        assert [p.split("/")[-2:] for p in ours.paths] == [p.split("/")[-2:] for p in theirs.paths]
    assert data.audit_files(path).ok
    assert len(list((cache / "archives").iterdir())) == 1  # once
    (tmp_path / "out").mkdir()
    shutil.move(path, tmp_path / "out" / path.split("/")[-1])
    with pytest.raises(UserError, match="no data at"):
        data.load(path)


def zip_of(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def tar_of(path, *members):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for info, content in members:
            info = tarfile.TarInfo(info) if isinstance(info, str) else info
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/tmp/out.png", "a\\..\\out.png", "C:/out.png"]
)
def test_nothing_is_written_outside(tmp_path, cache, make, name):
    path = make(tmp_path / ("a.zip" if make is zip_of else "a.tar"), ("a/1.png", b""), (name, b"x"))
    with pytest.raises(UserError, match="not a name below the archive's own folder"):
        unpacked(path)
    assert nothing_was_unpacked(cache)
    assert not list(tmp_path.parent.glob("out.png")) and not (tmp_path / "out.png").exists()


def link(kind):
    info = tarfile.TarInfo("a/link")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar(tmp_path, cache, kind):
    with pytest.raises(UserError, match="'a/link' is a link or a device"):
        unpacked(tar_of(tmp_path / "a.tar", (link(kind), b"")))
    assert nothing_was_unpacked(cache)


def test_links_in_a_zip(tmp_path, cache):
    info = zipfile.ZipInfo("a/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="'a/link' is a link or a device"):
        unpacked(zip_of(tmp_path / "a.zip", (info, "/etc/passwd")))
    assert nothing_was_unpacked(cache)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(tmp_path):
    for path in (
        zip_of(tmp_path / "a.zip", ("a/1", b"x"), ("a/1", b"y")),
        tar_of(tmp_path / "a.tar", ("a/1", b"x"), ("a/1", b"y")),
    ):
        with pytest.raises(UserError, match=r"is there twice|two members of one name"):
            unpacked(path)


def test_limits(tmp_path, cache, monkeypatch):
    members = [(f"a/{i}.png", b"\0" * 50_000) for i in range(4)]
    paths = [zip_of(tmp_path / "a.zip", *members), tar_of(tmp_path / "a.tgz", *members)]

    for change, message in (
        ({"members": 3}, "limit is 3 members|members than the limit of 3"),
        ({"total": 100_000}, "the limit (is|of) 100,000"),
        ({"harmless": 10_000, "ratio": 2}, "unpacks to"),
        ({"member": 40_000}, "the limit (is|of) 40,000"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(limits, "IMAGES", dataclasses.replace(limits.IMAGES, **change))
            for path in paths:
                with pytest.raises(UserError, match=message):
                    unpacked(path)
        assert nothing_was_unpacked(cache)


def test_a_header_of_a_tar_is_not_held_in_memory(tmp_path):
    for header in ({"pax_headers": {"comment": "x" * 5_000_000}}, {"name": "x" * 5_000_000}):
        info = tarfile.TarInfo("a/1.png")
        for field, value in header.items():
            setattr(info, field, value)
        form = tarfile.PAX_FORMAT if "pax_headers" in header else tarfile.GNU_FORMAT
        with tarfile.open(tmp_path / "a.tgz", "w:gz", format=form) as archive:
            archive.addfile(info)
        with pytest.raises(UserError, match=r"a member declares 50\d+ bytes"):
            unpacked(tmp_path / "a.tgz")


@pytest.mark.parametrize(
    ("size", "reason"), [(2_700_000_000, "more bytes in 'a/1"), (200_000_000, "is sparse")]
)
def test_a_sparse_file_in_a_tar(tmp_path, cache, size, reason):
    """512 bytes that stand for many zeros."""
    info = tarfile.TarInfo("a/1.png")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (size - 512, 512)
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + b"1" * 512 + bytes(1024))
    with pytest.raises(UserError, match=reason):
        unpacked(tmp_path / "a.tar")
    assert nothing_was_unpacked(cache)


def test_a_tar_of_negative_sizes(tmp_path):
    header = bytearray(tarfile.TarInfo("a/1.png").tobuf())
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) * 3 + bytes(1024))
    with pytest.raises(UserError, match="a member declares -1 bytes"):
        unpacked(tmp_path / "a.tar")


def test_a_pipe_that_is_called_an_archive(tmp_path):
    for name in ("a.zip", "a.tar", "a.tgz"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match="expected a file, received a named pipe"):
            unpacked(tmp_path / name)


def test_a_changed_archive_is_unpacked_anew(tmp_path):
    path = zip_of(tmp_path / "a.zip", ("a/1.png", b"x"), ("b/1.png", b"x"))
    first = unpacked(path)
    assert unpacked(path) == first
    zip_of(path, ("a/1.png", b"xx"), ("b/1.png", b"x"))
    assert (unpacked(path) / "a" / "1.png").read_bytes() == b"xx"
    assert (first / "a" / "1.png").read_bytes() == b"x"


def whole(suffix):
    stream = io.BytesIO()
    if suffix == ".zip":
        with zipfile.ZipFile(stream, "w") as archive:
            for name in ("cat/1.png", "dog/1.png"):
                archive.writestr(name, b"x" * 40)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz" if suffix == ".tgz" else "w") as archive:
            for name in ("cat/1.png", "dog/1.png"):
                info = tarfile.TarInfo(name)
                info.size = 40
                archive.addfile(info, io.BytesIO(b"x" * 40))
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), cut=st.floats(0, 1)
)
def test_a_broken_archive_is_a_user_error(suffix, tmp_path, edits, cut):
    content = bytearray(whole(suffix))
    for place, value in edits:
        content[int(place * (len(content) - 1))] = value
    if cut < 0.5:
        content = content[: int(2 * cut * len(content))]
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    try:
        folder = unpacked(path)
    except UserError as error:
        assert str(error).startswith(str(path))
    else:
        assert folder.is_relative_to(tmp_path / "cache")
