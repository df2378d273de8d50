# SPDX-License-Identifier: MIT
"""The version stands in several places, and the files of a release are sound."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def found(file: str, pattern: str) -> str:
    match = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert match, f"{file}: {pattern}"
    return match[1]


def test_one_version_everywhere():
    version = found("setup.py", r'version="([^"]+)"')
    assert found("keras_vit/__init__.py", r'^__version__ = "([^"]+)"') == version
    assert found("CITATION.cff", r"^version: (\S+)") == version
    assert found("CHANGELOG.md", r"^## (\S+)") == version


def test_a_tag_is_the_version_and_its_changes_have_a_date():
    """In the workflow of a release alone."""
    tag = os.environ.get("RELEASE_TAG")
    if tag:
        assert tag == "v" + found("setup.py", r'version="([^"]+)"')
        assert found("CHANGELOG.md", r"^## \S+ \((\d{4}-\d\d-\d\d)\)")


def test_no_address_of_a_person_and_no_secret_in_what_github_reads():
    for path in [
        *(ROOT / ".github").rglob("*.yml"),
        ROOT / "CODE_OF_CONDUCT.md",
        ROOT / "CITATION.cff",
    ]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"[\w.]+@[\w-]+\.\w+", text), path
        assert "secrets." not in text and "password:" not in text, path
