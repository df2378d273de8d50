# SPDX-License-Identifier: MIT
"""What setup.py asks for, against constraints.txt and what is imported."""

import re
import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
# Their versions do not matter: nothing of them is in what is installed or tested.
UNBOUNDED = {"setuptools", "wheel", "torchvision"}
oldest = runpy.run_path(str(ROOT / ".ci" / "oldest.py"))


@pytest.fixture(scope="module")
def asked():
    return {
        extra: [Requirement(line) for line in lines]
        for extra, lines in oldest["requirements"]().items()
    }


@pytest.fixture(scope="module")
def tested():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_package_has_a_floor_and_a_ceiling(asked):
    for requirement in {r for group in asked.values() for r in group}:
        operators = {part.operator for part in requirement.specifier}
        if requirement.name not in UNBOUNDED:
            assert operators == {">=", "<"}, requirement


def test_the_tested_versions_are_allowed_and_complete(asked, tested):
    for requirement in {r for group in asked.values() for r in group}:
        version = tested.get(requirement.name)
        if version is not None:
            assert requirement.specifier.contains(version), requirement
    missing = {r.name for r in asked[""] + asked["test"]} - set(tested)
    assert not missing


def test_readers_of_strangers_files_have_the_floors_of_their_known_holes(asked):
    for holed in ("pillow==12.1.1", "onnx==1.20.1", "torch==2.5.1", "pillow-heif==1.3.0"):
        name, version = holed.split("==")
        ranges = {r for group in asked.values() for r in group if r.name == name}
        assert ranges and not any(r.specifier.contains(version) for r in ranges)


def test_the_oldest_set_names_one_version_of_each(asked):
    lines = oldest["oldest"]([str(r) for r in asked[""]])
    assert len(lines) == len(asked[""]) and all(re.fullmatch(r"[\w.-]+==[\d.]+", x) for x in lines)
