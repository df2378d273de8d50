# SPDX-License-Identifier: MIT
"""The model card of a run: true, complete, and inert whatever things are called."""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import socket

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from keras_vit import recipes
from keras_vit.origins import Origin
from keras_vit.reports.card_head import card_head, data_name
from keras_vit.reports.model_card import _CARD, model_card
from keras_vit.run_folder import RunFolder
from keras_vit.untrusted.text import visible
from tests.pages import blocks_of


def head_of(card):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1])


@pytest.fixture
def copied(digits_run, tmp_path):
    """A run that may be changed."""
    leave = shutil.ignore_patterns("checkpoints", "saved_model")
    shutil.copytree(digits_run[0], tmp_path / "run", ignore=leave)
    return RunFolder.open(tmp_path / "run")


def test_the_card_of_a_run(digits_run):
    folder, _ = digits_run
    card = (folder / "README.md").read_text()
    run = RunFolder.open(folder)
    assert card == model_card(run)
    head = head_of(card)
    assert head["license"] == "unknown" and head["library_name"] == "keras"
    assert head["pipeline_tag"] == "image-classification" and "base_model" not in head
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == round(run.report["top1"], 4)
    assert result["dataset"] == {"type": "digits", "name": "digits", "split": "test"}
    assert f"| test top-1 | {run.report['top1']:.2%} | " in card and "| 359 |" in card
    assert "| epochs | 3, of which" in card and "of 10: 0, 1, 2," in card
    assert "license of the images (digits) was not recorded" in card


def test_the_hub_reads_it_as_it_was_written(digits_run, monkeypatch):
    """Without a request: huggingface_hub makes some where a card is checked or pushed."""

    def refuse(*_):
        raise AssertionError("a card asks for nothing")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    run = RunFolder.open(digits_run[0])
    text = model_card(run)
    card = ModelCard(text)  # raises for what it lacks
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", round(run.report["top1"], 4))
    assert (result.dataset_type, result.dataset_split) == ("digits", "test")
    assert card.data.library_name == "keras" and card.text.strip().startswith("#")
    assert str(card) == text


def test_nothing_is_left_to_fill_in(digits_run):
    card = (digits_run[0] / "README.md").read_text()
    assert not re.search(r"[Nn]eeded|TODO|TBD|None|nan|\[\]|\{\}", card)
    parts = re.split(r"^#+ .*$", card, flags=re.MULTILINE)[1:]
    assert len(parts) == 6 and all(part.strip() for part in parts)


def test_the_snippets_run(copied, monkeypatch):
    """Here, one after the other: they are separate programs in `test_readme`."""
    Image.new("L", (20, 30), 90).save(copied.path / "photo.jpg")
    monkeypatch.chdir(copied.path)
    blocks = [block.text for block in blocks_of(model_card(copied)) if block.kind == "python"]
    assert len(blocks) == 3
    for text in blocks:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(text, {})
        assert said.getvalue().startswith(("(None, 8, 8, 1) (None, 10)", "('"))


def test_hostile_names_are_inert(copied):
    name = "<script>|`x`\n# [a](http://b) --- "
    labels = [f"{name.replace(chr(10), '')}{i}" for i in range(10)]
    copied.labels_file.write_text("\n".join(labels) + "\n")
    report = json.loads(copied.report_file.read_text())
    report["data"] |= {"source": f"/home/me/{name.replace('/', '')}", "notes": [name]}
    report["per_class"] = [{"class": name, "images": 9, "right": 3}]
    report["origins"] = [dataclasses.asdict(Origin("a|b: <c>", "x: y", "https://z", "*no*"))]
    copied.report_file.write_text(json.dumps(report))
    card = model_card(RunFolder.open(copied.path))
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body and "\n# [a]" not in card
    assert not re.search(r"(?<!\\)\]\(", body)  # a link
    assert "/home/me" not in card
    head = head_of(card)
    assert head["license"] == "other" and head["license_name"] == "x: y"
    assert head["model-index"][0]["results"][0]["dataset"]["name"].startswith("<script>|`x`\\n#")


REPORT = {"top1": 0.9, "data": {"source": "hf:me/photos"}, "exports": []}


HOSTILE = [
    *("yes", "No", "null", "~", "0x1f", "1:30", "2026-01-01", "=", "<<", "", " ", "a b", "a: b"),
    *("- a", "# a", "a #b", "'", '"', "\\", "\\x41", "{a: 1}", "[a]", "&a", "*a", "!!x", "{{ a }}"),
    *("!!python/object/apply:os.system ['id']", "---", "...", "%YAML 1.1", "|", ">", "@a", "`a`"),
    *("a\nb: c", "a\r\n---\n", "\t", "\x00", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ufeff"),
    *("\ufffe", "\uffff", "\ud800", "\U0001f600", "\U0001fffe", "\u00e9t\u00e9", "x" * 5000),
    "--- " * 99,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_stays_that_text(text):
    origin = Origin(f"hf:{text}", text, text)
    report = REPORT | {"data": {"source": f"hf:{text}"}, "origins": [dataclasses.asdict(origin)]}
    card = str(ModelCard.from_template(card_head(report, text), template_str=_CARD, body="# a"))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800-\udfff]", card)
    head, seen = head_of(card), visible(text)
    assert head["license_name"] == visible(text.lower()) and head["datasets"] == [seen]
    assert head["base_model"] == [visible(text.partition("@")[0])]
    assert head["license_link"] == seen if text else "license_link" not in head
    (index,) = head["model-index"]
    assert index["name"] == seen and index["results"][0]["dataset"]["type"] == seen
    assert str(ModelCard(card)) == card and ModelCard(card).text == "\n# a"


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        ([], {"license": "unknown"}),
        ([Origin("x", "unknown")], {"license": "unknown"}),
        ([Origin("S/16-augreg-i21k", "Apache-2.0")], {"license": "apache-2.0"}),
        (
            [Origin("dinov3-small", "DINOv3-License", "https://d")],
            {"license": "other", "license_name": "dinov3-license", "license_link": "https://d"},
        ),
        (
            [Origin("a", "MIT", "https://m"), Origin("b", "Apache-2.0", "https://a")],
            {"license": "other", "license_name": "mit-and-apache-2.0"},
        ),
    ],
)
def test_license(origins, said):
    report = REPORT | {"origins": [dataclasses.asdict(origin) for origin in origins]}
    head = yaml.safe_load(card_head(report, "a").to_yaml())
    assert {key: value for key, value in head.items() if key.startswith("license")} == said
    assert head["datasets"] == ["me/photos"]


def test_base_models_are_repositories_of_the_hub():
    names = ["dinov2-small", "B/16-i21k", "hf:me/mine@abc", "hf:me/mine", "https://x.org/a.npz"]
    report = REPORT | {"origins": [dataclasses.asdict(Origin(name, "MIT")) for name in names]}
    head = yaml.safe_load(card_head(report, "a").to_yaml())
    assert head["base_model"] == ["timm/vit_small_patch14_dinov2.lvd142m", "me/mine"]


def test_several_classes_to_an_image():
    report = {"map": 0.71, "data": {"source": "a/b.csv"}, "exports": []}
    head = yaml.safe_load(card_head(report, "a").to_yaml())
    assert head["metrics"] == ["mAP"]
    assert head["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.71


def test_an_encoder(copied):
    """Without labels there is neither an accuracy nor a class."""
    report = json.loads(copied.report_file.read_text())
    for name in ("top1", "top5", "per_class", "validation_top1"):
        report.pop(name)
    report |= {"objective": "reconstruct", "test_loss": 0.5, "exports": []}
    copied.report_file.write_text(json.dumps(report))
    copied.labels_file.write_text("")
    copied.write_recipe(dataclasses.replace(copied.recipe, objective=recipes.Reconstruct()))
    card = model_card(RunFolder.open(copied.path))
    head = head_of(card)
    assert head["pipeline_tag"] == "image-feature-extraction" and "metrics" not in head
    assert "An encoder of images" in card and "Loss on 359 test images: 0.5000." in card
    (block,) = [block for block in blocks_of(card) if block.kind == "python"]
    assert "load_model" in block.text and "`keras-vit train DATA --init model.keras`" in card
    assert "| hidden | 75% of the patches" in card


def test_a_teacher_is_named(copied):
    """By the last part of its path, and without a meaning of its own."""
    distill = recipes.Distill(teacher="/home/me/<b>|big")
    copied.write_recipe(dataclasses.replace(copied.recipe, objective=distill))
    card = model_card(RunFolder.open(copied.path))
    assert r"| teacher | &lt;b\>\|big, whose most probable class is 50%" in card
    assert (
        r"answers of &lt;b\>\|big, whose terms were not looked at" in card and "/home" not in card
    )


def test_what_data_are_called():
    assert data_name("/home/me/photos/") == "photos" and data_name("digits") == "digits"
    assert data_name("hf:me/photos") == "hf:me/photos"
