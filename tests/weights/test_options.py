# SPDX-License-Identifier: MIT
"""The options of loading are those of every function and command that opens a checkpoint."""

import argparse
import dataclasses

import pytest

from apps import convert as convert_app
from apps import inspect_weights as inspect_app
from apps import parity as parity_app
from apps.checkpoint_flags import told
from keras_vit import UserError, create
from keras_vit import load_model as load_anything
from keras_vit.weights import LoadOptions, certify, convert, inspect, load_model, open_source
from tests.weights.fixtures import FLAX

NAMES = {field.name for field in dataclasses.fields(LoadOptions)}


@pytest.mark.parametrize(
    "call",
    [
        lambda **o: load_anything(FLAX, **o),
        lambda **o: load_model(FLAX, **o),
        lambda **o: open_source(FLAX, **o),
        lambda **o: inspect(FLAX, **o),
        lambda **o: certify(FLAX, reference="flax", **o),
        lambda **o: convert(FLAX, "x.npz", "flax", **o),
        lambda **o: create("B/16", weights=FLAX, **o),
    ],
)
def test_a_name_that_is_no_option(call):
    with pytest.raises(UserError, match="unknown option of load_model 'numheads'"):
        call(numheads=3)


def test_every_option_has_a_flag():
    parser = argparse.ArgumentParser()
    convert_app.add_flags(parser)
    args = parser.parse_args(
        ["a", "b", "--to", "hf", "--image_size", "32", "--patch_size", "8", "4"]
    )
    assert set(told(args)) == NAMES
    options = LoadOptions.of(**told(args))
    assert (options.image_size, options.patch_size, options.num_heads) == (32, (8, 4), None)


def test_commands_that_change_nothing_ask_for_what_a_file_does_not_tell():
    for app in (inspect_app, parity_app):
        parser = argparse.ArgumentParser()
        app.add_flags(parser)
        args = parser.parse_args(["--image_size", "16", "20", "a"])
        assert set(told(args)) < NAMES
        assert told(args)["image_size"] == (16, 20)


def test_what_the_caller_knows():
    options = LoadOptions(num_heads=3, activation="gelu_tanh", num_classes=7, skip="a*")
    assert options.told() == {"num_heads": 3, "activation": "gelu_tanh"}
    assert options.skip == ("a*",)
