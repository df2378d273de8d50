# SPDX-License-Identifier: MIT
import io

import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError
from keras_vit.data.sources.stored import stored_split


def contents(orientation):
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.new("RGB", (6, 4)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_training_turns_what_predictions_turn():
    split = stored_split("tfds:lights, train", np.arange(3), [contents(n) for n in (6, 1, 3)])
    assert split.orientation.tolist() == [6, 1, 3] and split.orientation.dtype == np.uint8
    assert [split.pixels_of(i).shape for i in range(3)] == [(6, 4, 3), (4, 6, 3), (4, 6, 3)]


def test_what_is_no_image_is_named():
    with pytest.raises(UserError, match="tfds:lights, test: example 1 is not a readable image"):
        stored_split("tfds:lights, test", np.arange(2), [contents(1), b"<html>"])
