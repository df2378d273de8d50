# SPDX-License-Identifier: MIT
"""report.html: what it says of runs of every kind, and that it is one inert file."""

import base64
import csv
import dataclasses
import html.parser
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt  # which rich brings
from PIL import Image

from keras_vit import UserError, data, recipes, vit
from keras_vit.data.dataset import Arrays
from keras_vit.evaluation import summarize
from keras_vit.export import to_onnx
from keras_vit.export.metadata import Metadata
from keras_vit.files import write_text
from keras_vit.measuring import Measured
from keras_vit.model_file import ModelFile
from keras_vit.models.keras_file import load_keras
from keras_vit.predictor import Predictor
from keras_vit.preprocessing import USUAL
from keras_vit.reports import write_measured, write_page, write_report
from keras_vit.reports.page.charts import Series, line_chart
from keras_vit.reports.page.course import course_of
from keras_vit.reports.page.facts import gather
from keras_vit.reports.page.loading import snippets
from keras_vit.reports.page.matrix import matrix_of
from keras_vit.reports.page.measured import gather_measured
from keras_vit.reports.page.pictures import map_over, picture
from keras_vit.reports.page.setting import changes
from keras_vit.run_folder import RunFolder
from keras_vit.training.objectives import labelled
from keras_vit.training.objectives.base import metadata_for
from keras_vit.training.train import Answered
from tests.conftest import untraced_runs
from tests.reports.structure import complaints

EVIL = "<script>alert('x')"  # a folder's name, and so a class
FORMULA = "=HYPERLINK('x')|[a](javascript:alert(1))&<img src=x onerror=alert(1)>`"
EVIL_FILE = '"onerror=alert(1) \u202e<b>&amp;.png'


class Reader(html.parser.HTMLParser):
    """The elements of a page, and whether each is closed in turn."""

    EMPTY = ("meta", "link", "img", "br", "line", "circle", "polyline")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.attributes, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.words.append(data)

    def get(self, tag, name):
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


def read(path):
    """A page, once it has been seen to be whole, inert and one file of a bearable size."""
    text = path.read_text(encoding="utf-8")
    reader = Reader(text)
    assert not reader.open and len(text) < 3_000_000 and complaints(text) == []
    assert not {"script", "iframe", "object", "form", "base"} & set(reader.tags)
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert all(source.startswith("data:image/") for source in reader.get("img", "src"))
    assert reader.get("link", "href") == ["data:,"]
    return reader, text


def untrained(folder, source, *changes):
    """A run that was ended before its first epoch was, with the model that it began with."""
    recipe = recipes.debug(recipes.get("cifar10_seed"))
    recipe = recipes.override(recipe, f"data.source={source}", "model.image_size=8", *changes)
    images, audit = data.load(str(source))
    model = dataclasses.replace(recipe.model, num_classes=len(images.classes))
    recipe = dataclasses.replace(recipe, model=model)
    folder.mkdir()
    run = RunFolder(folder)
    run.write_data_records(images, audit)
    write_text(run.labels_file, "".join(f"{name}\n" for name in images.classes))
    write_text(run.metadata_file, metadata_for(recipe, images).to_json())
    run.write_recipe(recipe)
    vit(model).save(run.model_file)
    return run


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def folder_of(root, classes, count=6):
    random = np.random.default_rng(0)
    for name, file in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 255, (9, 9, 3)).astype("uint8")
            Image.fromarray(pixels).save(root / name / f"{i}{file}")
    return root


@pytest.fixture
def copied(digits_run, tmp_path):
    shutil.copytree(digits_run[0], tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_run(digits_run):
    reader, text = read(digits_run[0] / "report.html")
    run = RunFolder(digits_run[0])
    page = gather(run)
    assert page.answers.summary["top1"] == run.report["top1"]
    assert page.answer in "".join(reader.words) and f"{run.report['top1']:.1%}" in page.answer
    assert f"of {run.report['data']['test']} test images" in page.answer
    assert reader.tags.count("svg") == 4  # loss, accuracy, learning rate, reliability
    assert reader.tags.count("h1") == 1 and reader.get("meta", "name")
    shown = {name.partition(" (")[0]: value for name, value in page.figures}
    assert shown["top-5"] == f"{run.report['top5']:.1%}" and not page.missing
    wrong = round((1 - run.report["top1"]) * run.report["data"]["test"])
    assert page.answers.mistaken == wrong and len(page.answers.mistakes) == min(12, wrong)
    assert page.answers.explained == "relevance: not examined, as that would take too long here"
    assert [row[0] for row in page.exports] == ["keras", "saved_model", "litert"]
    assert f"epoch {run.report['best_epoch']}, chosen" in text


def test_what_a_training_computed_is_not_computed_again(copied, monkeypatch):
    """Neither are the test images read anew, nor is the model asked again."""
    _, _, images = copied.split("test")
    answered = Answered(images, np.roll(np.eye(10, dtype="float32")[images.labels], 1, axis=1))
    answered.logits[0] = np.eye(10)[images.labels[0]]
    monkeypatch.setattr(RunFolder, "split", None)
    write_report(copied.path, load_keras(copied.model_file), answered)
    reader, _ = read(copied.report_html)
    assert "for 0.3% of 359 test images" in "".join(reader.words)


def test_the_snippets_run(digits_run, monkeypatch):
    run = RunFolder(digits_run[0])
    images = run.split("test")[2].pixels[:3].astype("float32")
    monkeypatch.chdir(run.path)
    found = {}
    for snippet in snippets(run):
        names = {"images": images}
        exec(snippet.code, names)
        found[snippet.runtime] = np.asarray(names["logits"])
    assert list(found) == ["Keras", "SavedModel", "LiteRT"]
    for logits in found.values():  # the tolerance of exports
        np.testing.assert_allclose(logits, found["Keras"], atol=1e-4)


def test_the_snippet_of_onnx_runs(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    config = recipes.debug(recipes.get("digits")).model
    (tmp_path / "export").mkdir()
    to_onnx(vit(config), tmp_path / "export" / "model.onnx")
    (snippet,) = snippets(RunFolder(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = {"images": np.zeros((3, 8, 8, 1), "float32")}
    exec(snippet.code, names)
    assert names["logits"].shape == (3, config.num_classes)


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory, in_process):
    """A run on images whose names are code, in a folder with such a name."""
    if os.name == "nt":
        pytest.skip("names that this system forbids")
    root = tmp_path_factory.mktemp("hostile")
    source = folder_of(root / "=1+1", {EVIL: EVIL_FILE, FORMULA: "`[x](javascript:alert(1)).png"})
    (source / EVIL / "-2+3`<img src=x>.png").write_bytes(b"no image")
    run = root / "<img src=x onerror=alert(1)>"
    flags = ("--recipe", "cifar10_seed", "--debug", "--set", "model.image_size=8")
    with pytest.MonkeyPatch.context() as patch, untraced_runs():
        patch.setattr(labelled, "formats", tuple)
        said = in_process("train", source, *flags, "--on_bad", "skip", "--workdir", run)
    assert said.code == 0, said.err
    return RunFolder(run)


def test_hostile_names_in_the_page(hostile_run):
    reader, text = read(hostile_run.report_html)
    words = "".join(reader.words)
    assert EVIL in words and FORMULA in words and hostile_run.path.name in words
    assert "\u202e" not in text and "\\u202e" in text


@pytest.mark.parametrize("name", ["report.md", "README.md"])
def test_hostile_names_in_markdown(hostile_run, name):
    """What a renderer makes of it, which lets HTML through, as GitHub's does."""
    text = (hostile_run.path / name).read_text("utf-8").split("\n---\n")[-1]
    reader = Reader(MarkdownIt("commonmark").enable("table").render(text))
    assert not {"script", "b"} & set(reader.tags)
    assert set(reader.get("img", "src")) <= {"curves.png"}
    assert not [link for link in reader.get("a", "href") if link.startswith("javascript")]
    assert hostile_run.path.name in "".join(reader.words) and "\u202e" not in text
    assert name == "report.md" or EVIL in "".join(reader.words)


def test_hostile_names_in_tables(hostile_run):
    """No cell is a formula; the names are read back as they were."""
    tables = sorted(hostile_run.path.rglob("*.csv"))
    assert {table.name for table in tables} == {"history.csv", "split.csv"}
    for table in tables:
        with table.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell]
    names = [hostile_run.split(name)[2].files for name in ("train", "validation", "test")]
    assert sum(map(len, names)) == 12 and any("\u202e" in name for part in names for name in part)


def test_every_file_of_a_run_was_looked_at(hostile_run):
    """What else a person opens; the others are read by programs, and say names as they are."""
    read_by_programs = {"json", "gz", "keras", "txt", "png", "jpg", "weights", "npz", "h5"}
    files = [path for path in hostile_run.path.iterdir() if path.is_file()]
    others = {path.name for path in files if path.suffix[1:] not in read_by_programs}
    assert others == {"report.html", "report.md", "README.md", "history.csv", "split.csv"}


def test_a_run_that_was_interrupted(tmp_path, photos):
    run = untrained(tmp_path / "run", photos)
    page = gather(run)
    assert not page.exports and page.course is None and page.answers
    assert page.missing[0].startswith("The run has not come to its end")
    assert next(name for name, _ in page.figures).startswith("top-1 (")
    assert not [name for name, _ in page.figures if name.startswith("top-5")]  # of two classes
    assert page.audit["findings"] == [] and [s.runtime for s in page.snippets] == ["Keras"]
    read(write_page(run.path))
    run.model_file.unlink()
    reader, _ = read(write_page(run.path))
    assert "There is no model yet" in "".join(reader.words)
    assert "0 of 2 epochs are done" in "".join(reader.words)


def test_a_run_whose_images_are_gone(tmp_path):
    source = folder_of(tmp_path / "images", {"a": ".png", "b": ".png"})
    run = untrained(tmp_path / "run", source)
    shutil.rmtree(source)
    reader, _ = read(write_page(run.path))
    assert "What the model says of its test images is not here" in "".join(reader.words)


def test_one_image_of_each_class(tmp_path):
    """The test split has one image, of one class."""
    source = folder_of(tmp_path / "images" / "train", {"a": ".png", "b": ".png"}, 1)
    folder_of(tmp_path / "images" / "test", {"a": ".png", "b": ".png"}, 1)
    folder_of(tmp_path / "images" / "val", {"a": ".png", "b": ".png"}, 1)
    page = gather(untrained(tmp_path / "run", source.parent))
    assert page.answers.summary["images"] == 2 and page.answers.mistakes


def test_several_classes_to_an_image(tmp_path):
    folder_of(tmp_path, {"images": ".png"}, 24)
    names = ["red|green", "red", "green", ""]
    rows = [f"images/{i}.png,{names[i % 4]}" for i in range(24)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,labels", *rows]))
    run = untrained(tmp_path / "run", table, "objective.loss=sigmoid")
    page = gather(run)
    assert "mean average precision" in page.answer and not page.answers.pairs
    assert page.reliability is None and dict(page.figures)["mAP"]
    reader, _ = read(write_page(run.path))
    words = "".join(reader.words)
    assert "average precision" in words and "Confusion" not in words and "top-1" not in words


def test_a_model_that_was_distilled(tmp_path, photos):
    """Its answer is that of both its heads, and so is what spoke for it."""
    teacher = ("objective.kind=distill", "objective.teacher=runs/<b>")
    run = untrained(tmp_path / "run", photos, "model.distillation_token=true", *teacher)
    write_text(run.history_file, HISTORY + "1,2.0,0.7,1.5,0.6,0.0001,5,100\n")
    page = gather(run)
    assert page.answers.summary["images"] == 4 and all(one.map for one in page.answers.mistakes)
    assert page.answers.explained == "relevance: not examined, as 8 mistakes are needed for that"
    words = "".join(read(write_page(run.path))[0].words)
    assert "runs/<b>, whose most probable class is 50%" in words
    assert "one is not to be compared with the other" in words


def test_an_encoder_without_labels(tmp_path, photos):
    """It is not asked for answers, and its report says how it paints."""
    run = untrained(tmp_path / "run", photos, "model.num_classes=0")
    write_text(run.labels_file, "")
    run.metadata_file.unlink()
    report = {"objective": "reconstruct", "best_epoch": 1, "validation_loss": 0.9}
    report |= {"test_loss": 0.8125, "parameters": 9, "precision": "float32", "exports": []}
    data_row = {"source": "photos", "classes": 0, "train": 16, "validation": 4, "test": 4}
    report |= {"data": data_row | {"notes": []}, "keras": {"path": "model.keras", "bytes": 10**6}}
    run.write_report(report)
    Image.new("RGB", (40, 30)).save(run.reconstruction_picture)
    reader, _ = read(write_page(run.path))
    words = "".join(reader.words)
    assert "paints what is hidden of 4 test images with a loss of 0.8125" in words
    assert "Reconstructions" in words and reader.tags.count("img") == 1
    assert "features = model.predict(images)" in words and "logits" not in words
    assert not {"Classes", "Worst mistakes", "Files to take away"} & set(reader.words)


LABELS = ("a", "b", "<i>")


def measured(classes, logits, file="model.tflite"):
    """What a file that only answers said of grey images."""
    images = np.arange(len(classes) * 64, dtype="uint8").reshape(-1, 8, 8, 1)
    split = Arrays(np.asarray(classes), images)
    model = ModelFile(Path(file), None)
    predictor = Predictor(None, Metadata("a run", LABELS, (8, 8), 1), model.path)
    return Measured(model, predictor, "others", split, np.asarray(logits, "float32"))


def test_a_file_on_other_images(tmp_path):
    answered = measured([0, 0, 0, 0], [[2, 1, 0], [0, 3, 0], [0, 1, 0], [1, 0, 0]])
    reader, _ = read(write_measured(answered, tmp_path / "page.html"))
    words = "".join(reader.words)
    assert "of 3 classes for 50.0% of 4 images of others" in words and "top-5" not in words
    assert "Of 2 of the classes there is no image here" in words
    assert "2 of the images have a wrong answer" in words and "answers alone: maps" in words
    assert "model.tflite, run by LiteRT" in words and "recipe" not in words
    assert reader.tags.count("img") == 4  # two examples of a pair, and two mistakes


def test_an_equal_score_is_no_right_answer():
    """As in the accuracy: the parts of the page agree on what is a mistake."""
    page = gather_measured(measured([0, 1, 2], [[1, 1, 0], [0, 1, 0], [0, 0, 0]]))
    assert page.answers.summary["top1"] == pytest.approx(1 / 3) and page.answers.mistaken == 2
    assert [len(pair.examples) for pair in page.answers.pairs] == [1, 1]


def test_a_matrix_has_the_classes_that_occur():
    summary = summarize(np.eye(4)[[0, 0, 3, 1]], np.array([0, 0, 0, 1]), list("abcd"))
    matrix = matrix_of(summary)
    assert matrix.columns == ("a", "b", "d") and [name for name, _ in matrix.rows] == ["a", "b"]
    assert matrix.rows[0][1] == ((2, 2 / 3, True), (0, 0, False), (1, 1 / 3, False))


@pytest.mark.parametrize("count", [31, 1000])
def test_a_matrix_of_many_classes_is_a_picture(count):
    labels = np.arange(count)
    answers = np.roll(np.eye(count), 1, axis=1)
    answers[0] = np.eye(count)[0]
    matrix = matrix_of(summarize(answers, labels, list(map(str, labels))))
    assert not matrix.rows and len(matrix.picture) < 100_000
    pixels = np.asarray(opened(matrix.picture).convert("RGBA"))
    side = len(pixels) // count
    assert pixels.shape == (side * count, side * count, 4)
    assert pixels[0, 0].tolist() == [0, 114, 178, 255]  # right
    assert pixels[side, 2 * side].tolist() == [213, 94, 0, 255]  # wrong
    assert not pixels[side, 0, 3]  # nothing


def test_what_was_changed():
    recipe = recipes.override(recipes.get("digits"), "epochs=7", "optimizer.learning_rate=0.1")
    framed = dataclasses.replace(recipe.data, **dataclasses.asdict(USUAL))  # as data have it
    recipe = dataclasses.replace(recipe, precision="float32", data=framed)  # was "auto"
    assert changes(recipe) == (("epochs", "60", "7"), ("optimizer.learning_rate", "0.002", "0.1"))
    assert changes(dataclasses.replace(recipe, name="mine")) == ()


HISTORY = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,images_per_second\n"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1,2.0,0.3,1.5,0.6,0.0001,5,100", "MixUp"),
        ("1,2.0,0.7,1.5,0.6,0.0001,5,100", ""),
    ],
)
def test_why_validation_lies_above(copied, row, why):
    write_text(copied.history_file, HISTORY + row + "\n")
    copied.write_recipe(recipes.override(copied.recipe, "augmentation.mixup=0.2"))
    course = course_of(copied, 1)
    assert (why in course.why_above) and bool(course.why_above) == bool(why)
    assert course.epochs == course.chosen == 1 and course.seconds == 5


@pytest.mark.parametrize("text", ["", HISTORY, HISTORY + "1,x\n", "a,b\n1,2\n"])
def test_a_history_that_is_none(copied, text):
    write_text(copied.history_file, text)
    with pytest.raises(UserError, match=r"history\.csv: is not a history"):
        course_of(copied, None)


def test_an_audit_of_another_shape_is_refused(copied):
    write_text(copied.audit_file, '{"images": {}, "findings": [{"kind": 1}]}')
    with pytest.raises(UserError, match=r"audit\.json: findings"):
        write_page(copied.path)


def test_charts_hold_what_is_not_finite_and_level_lines():
    nan = float("nan")
    for values in ([nan, nan], [1.0, 1.0], [0.0, 0.0], [1e-9, 2e-9], [1.0, float("inf")]):
        chart = line_chart("<b>", [1, 2], [Series("x", values)], 1, percent=False)
        assert "&lt;b&gt;" in chart and 'points="nan' not in chart and ",nan" not in chart
    assert line_chart("loss", [1], [Series("x", [0.5])], 1, percent=True).count("<circle") == 1


@pytest.mark.parametrize("shape", [(8, 8, 1), (300, 500, 3)])
def test_pictures_are_small(shape):
    image = np.random.default_rng(0).integers(0, 255, shape).astype("float32")
    for uri in (picture(image), map_over(image, np.eye(4)), map_over(image, np.zeros((2, 2)))):
        image_file = opened(uri)
        assert max(image_file.size) <= 160 and len(uri) < 40_000
        assert uri.startswith(f"data:image/{image_file.format.lower()};base64,")


def test_evaluate_writes_it_anew(copied, in_process):
    copied.report_html.unlink()
    assert "report.html" in in_process("evaluate", copied.path).err
    read(copied.report_html)
    copied.report_html.unlink()
    said = in_process("evaluate", copied.exports_folder / "model.tflite").err
    assert "--html FILE writes a page" in said and not copied.report_html.exists()


def test_evaluate_writes_a_page_on_other_images(digits_run, tmp_path, in_process):
    """Of one class of the ten."""
    source, page = folder_of(tmp_path / "images", {"7": ".png"}), tmp_path / "page.html"
    before = (digits_run[0] / "report.html").read_bytes()
    said = in_process("evaluate", digits_run[0], source, "--html", page)
    assert f"report: {page}" in said.err and (digits_run[0] / "report.html").read_bytes() == before
    reader, _ = read(page)
    assert "of 10 classes for" in "".join(reader.words) and reader.get("img", "src")
    with pytest.raises(UserError, match="is there already"):
        in_process("evaluate", digits_run[0], source, "--html", page)
    with pytest.raises(UserError, match="does not go with --probe"):
        in_process("evaluate", digits_run[0], source, "--html", tmp_path / "b.html", "--knn")
