# SPDX-License-Identifier: MIT
"""Lines that native code writes are left out; all others arrive, after an exception too."""

import os

import pytest

from keras_vit.quiet import CHATTER, without_lines


def test_lines_are_left_out_and_others_are_not(capfd):
    with without_lines():
        os.write(2, CHATTER + b" for CPU.\nanother line\n")
        os.write(2, b"without an end")
    os.write(2, b"\nafter\n")
    assert capfd.readouterr().err == "another line\nwithout an end\nafter\n"


def test_what_was_said_before_an_exception_arrives(capfd):
    with pytest.raises(ZeroDivisionError), without_lines(b"quiet"):
        os.write(2, b"quiet please\nloud\n")
        raise ZeroDivisionError
    assert capfd.readouterr().err == "loud\n"
