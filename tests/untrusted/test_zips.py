# SPDX-License-Identifier: MIT
"""Zip archives from strangers."""

import tracemalloc
import zipfile

import pytest

from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.zips import check_zip, open_zip, read_member

SMALL = limits.Zip(members=10, member=1000, total=5000, ratio=10, harmless=4000)


def zipped(path, *members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, contents in members:
            archive.writestr(name, contents)
    return path


def test_a_sound_zip(tmp_path):
    path = zipped(tmp_path / "a.zip", ("a", b"12"), ("b/c", b""))
    with open_zip(path, SMALL) as archive:
        assert read_member(archive, "a", 2, path) == b"12"
        assert read_member(archive, "b/c", 2, path) == b""
        assert read_member(archive, "d", 2, path) is None
        with pytest.raises(UserError, match="'a': has 2 bytes; the limit is 1"):
            read_member(archive, "a", 1, path)


def test_zips_that_unpack_to_too_much(tmp_path):
    for members, reason in (
        ([("a", b"0" * 1001)], "'a': has 1,001 bytes; the limit is 1,000"),
        ([(str(i), b"0" * 1000) for i in range(9)], "unpacks to 9,000 bytes"),
        ([(str(i), b"") for i in range(11)], "limit is 10 members"),
    ):
        with pytest.raises(UserError, match=reason):
            check_zip(zipped(tmp_path / "a.zip", *members), SMALL)


def test_a_table_of_a_million_members_is_not_held_in_memory(tmp_path):
    entry = b"PK\1\2" + bytes(42)
    table = entry * 1_000_000
    end = b"PK\5\6" + bytes(6) + b"\1\0" + len(table).to_bytes(4, "little") + bytes(6)
    (tmp_path / "a.zip").write_bytes(table + end)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"table of contents is too long"):
        check_zip(tmp_path / "a.zip", SMALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # the table alone has 46 MB


def test_zips_that_are_made_to_do_harm(tmp_path):
    path = tmp_path / "a.zip"
    whole = zipped(path, ("a", b"1" * 50), ("b", b"2" * 50)).read_bytes()
    first, second = (i for i in range(len(whole)) if whole.startswith(b"PK\1\2", i))

    def changed(place, contents):
        path.write_bytes(whole[:place] + contents + whole[place + len(contents) :])
        return path

    shared = changed(second + 42, bytes(4))  # where the member starts
    with pytest.raises(UserError, match="share bytes"):
        check_zip(shared, SMALL)
    with pytest.raises(UserError, match="'a' is encrypted"):
        check_zip(changed(first + 8, b"\1"), SMALL)
    with pytest.raises(UserError, match="number 12"):
        check_zip(changed(first + 10, b"\x0c"), SMALL)
    nameless = changed(first + 46, b"\0")  # the standard library cuts names there
    with pytest.raises(UserError, match="a member without a name"):
        check_zip(nameless, SMALL)
    with pytest.raises(UserError, match="two members of one name"):
        check_zip(changed(second + 46, b"a"), SMALL)
    for declared in (40, 60):  # 50 bytes unpack from it
        wrong = changed(first + 24, bytes([declared]))
        with pytest.raises(UserError, match="not a sound zip"), open_zip(wrong, SMALL) as archive:
            read_member(archive, "a", 100, "a.zip")


def test_every_truncation_and_every_changed_byte_of_a_zip(tmp_path):
    path = tmp_path / "a.zip"
    whole = zipped(path, ("name", b"contents" * 9), ("b", b"2")).read_bytes()
    mutants = [whole[:i] for i in range(len(whole))]
    mutants += [whole[:i] + bytes([whole[i] ^ 0x91]) + whole[i + 1 :] for i in range(len(whole))]
    for mutant in mutants:
        path.write_bytes(mutant)
        try:
            with open_zip(path, SMALL) as archive:
                for name in archive.namelist():
                    read_member(archive, name, 1000, path)
        except UserError as error:
            assert str(error).startswith(str(path))
