# SPDX-License-Identifier: MIT
"""The page on what a model looks at."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_vit import vit
from keras_vit.preprocessing import Preprocessing
from keras_vit.reports import explanations
from keras_vit.reports import subject as subject_room
from keras_vit.reports.subject import Subject
from tests.contracts import randomize
from tests.models.test_vit import tiny
from tests.reports.structure import complaints

HOSTILE = "</title><script>alert(1)</script>\u202e"


class Reader(HTMLParser):
    """Tags, and the text of the page."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def photographs(tmp_path):
    """A file of the class that a hostile folder is named like, and one of no class."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")
    for name in ("cat", "other"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "<b>.png")
    return [tmp_path / "cat" / "<b>.png", tmp_path / "other" / "<b>.png"]


@pytest.fixture
def subject(monkeypatch):
    model = vit(tiny())
    randomize(model)
    found = Subject(model, (HOSTILE, "cat", "dog"), Preprocessing((16, 24)), None)
    monkeypatch.setattr(Subject, "open", lambda target: found)


KINDS = ["relevance", "rollout", "attention", "heads", "distance", "positions", "filters"]


def test_the_page_has_everything_and_nothing_acts(subject, photographs, tmp_path, capsys):
    problems = explanations.draw_images("run", photographs, tmp_path, KINDS, page=True)
    path = Path(capsys.readouterr().out.strip())
    assert problems == [] and path.name == "explanations.html"
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    assert complaints(path.read_text("utf-8")) == []
    headings = re.findall(r"<h2[^>]*>([^<]*)", path.read_text("utf-8"))
    assert headings == [
        *("All images", "Relevance for the prediction", "Attention rollout"),
        *("Attention of the last block", "Every head", "How far it looks"),
        *("What it knows of places", "What it sees in a patch", "What each layer costs"),
    ]
    assert "<b>" in reader.text and "2 of the 8 images that it takes are there" in reader.text
    assert {"script", "b", "link"} & {tag for tag, _ in reader.tags} == {"link"}
    pictures = [attributes for tag, attributes in reader.tags if tag == "img"]
    # The sheet, three for each method and image, heads with their image, places and filters.
    assert len(pictures) == 2 + 3 * 3 * 2 + 2 * (1 + 2) + 4 * 6 + 16
    assert all(one["src"].startswith("data:image/") and one["alt"] for one in pictures)
    assert path.stat().st_size < 500_000


def test_a_photograph_is_drawn_sharper_than_the_model_sees_it(subject, photographs):
    sharper = explanations._sharper(Preprocessing((16, 24)), np.zeros((40, 60, 3)))
    assert sharper == Preprocessing((32, 48))
    assert explanations._sharper(Preprocessing((16, 24)), np.zeros((9, 9, 3))).image_size == (
        16,
        24,
    )
    large = explanations._sharper(Preprocessing((224, 224)), np.zeros((3000, 4000, 3)))
    assert large.image_size == (448, 448)


def test_images_of_each_class_in_turn():
    labels = np.array([0] * 6 + [2] * 2 + [1] * 4)
    order = subject_room._in_turn(labels)
    assert sorted(order) == list(range(12))
    assert labels[order].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 0, 0]
    assert sorted(subject_room._in_turn(np.zeros((5, 3)))) == list(range(5))
