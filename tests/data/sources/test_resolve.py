# SPDX-License-Identifier: MIT
import pytest

from keras_vit import UserError, data


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="Did you mean digits"):
        data.load("digit")
    with pytest.raises(UserError, match=r"no data at 'nowhere/at/all'\. Expected digits"):
        data.load("nowhere/at/all")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file of no kind"):
        data.load(str(tmp_path / "file"))


def test_data_that_are_not_there_may_have_a_neighbour(tmp_path):
    (tmp_path / "my photos").mkdir()
    (tmp_path / "photos.txt").write_text("no data")
    for typed in ("my photo", "myphotos/", "My photos"):
        with pytest.raises(UserError, match=r"Did you mean .*/my photos\?$"):
            data.load(f"{tmp_path}/{typed}")
    with pytest.raises(UserError, match="Expected digits"):
        data.load(f"{tmp_path}/photos.txz")
