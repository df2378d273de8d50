# SPDX-License-Identifier: MIT
"""The page of a run, its tables and its figures."""

import json

import numpy as np
from PIL import Image

from keras_vit.reports import export_table, markdown_report
from keras_vit.reports.figures import contact_sheet, heads_figure, map_figure
from keras_vit.reports.sights import Sight

REPORT = {
    "top1": 0.9833,
    "top5": 1.0,
    "best_epoch": 41,
    "validation_top1": 0.979,
    "precision": "float32",
    "parameters": 12345,
    "data": {
        "source": "digits",
        "classes": 10,
        "train": 1295,
        "validation": 143,
        "test": 359,
        "notes": ["20% held out"],
    },
    "keras": {"path": "model.keras", "bytes": 700_000, "ms_per_image": 2.5},
    "exports": [
        {
            "format": "litert",
            "path": "export/model.tflite.rejected",
            "top1": 0.98,
            "agreement": 0.99999,
            "max_abs_diff": 0.0123,
            "bytes": 500_000,
            "ms_per_image": 0.1,
            "ok": False,
            "problem": "max |d logit| 1.2e-02",
        }
    ],
}


def test_table():
    lines = export_table(REPORT).splitlines()
    header = "format top-1 agrees max |d logit| size ms/image (batch 1, median)"
    assert lines[0].split() == header.split()
    assert lines[1].split() == ["keras", "98.3%", "-", "-", "0.70", "MB", "2.50"]
    assert lines[2].split() == ["litert", "98.0%", "99.99", "%", "1e-02", "0.50", "MB", "0.10"]
    assert "DISAGREES: max |d logit| 1.2e-02" in lines[3]


def test_page(digits_run):
    page = markdown_report(REPORT, "digits-1")
    assert page.startswith("# digits-1\n")
    # Wilson's interval of 353 of 359.
    assert "Top-1 98.33% (95 % interval 96.40% to 99.23%), top-5 100.00%" in page
    assert "* 20% held out" in page
    folder, _ = digits_run
    report = json.loads((folder / "report.json").read_text())
    assert (folder / "report.md").read_text() == markdown_report(report, folder.name)


def test_map_figure(tmp_path):
    """The cell with the attention is the bright one, and the panel stands where the image's
    does."""
    attention = np.zeros((4, 4))
    attention[0, 3] = 0.9
    sight = Sight(np.full((8, 8, 1), 128.0), attention, "3", 0.75, "4")
    path = map_figure(tmp_path / "a.png", sight)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert pixels.shape == (370, 960, 3)
    bright = np.abs(pixels - (252, 253, 191)).max(axis=-1) < 4  # the top of the color map
    rows, columns = np.nonzero(bright[:, 310:570])
    assert rows.size and rows.mean() < 370 / 2 and columns.mean() > 130


def test_every_head_beside_the_image(tmp_path):
    sight = Sight(np.full((8, 8, 3), 128.0), np.ones((4, 4)), "a", 0.75, "b", "rollout")
    for heads, size in ((1, (480, 230)), (3, (640, 230)), (12, (1120, 410))):
        with Image.open(heads_figure(tmp_path / "a.png", sight, np.ones((heads, 4, 4)))) as figure:
            # Of 2.3 inches, Matplotlib 3.11.0 makes 229 pixels, and 3.11.2 makes 230.
            np.testing.assert_allclose(figure.size, size, atol=1)


def test_a_map_of_zeros_stays_one():
    assert not Sight(np.zeros((8, 8, 3)), np.zeros((2, 2)), "a", 1.0).times_mean.any()


def test_contact_sheet(tmp_path):
    """Rows of eight, at most 64 images, names that are no mathematics."""
    image = np.full((8, 8, 3), 128.0)
    sights = [Sight(image, np.zeros((2, 2)), "$a_{b$", 0.5, true) for true in ("a", "$a_{b$", None)]
    for count, rows, columns in ((1, 1, 1), (9, 2, 5), (70, 8, 8)):
        path = contact_sheet(tmp_path / f"{count}.png", (sights * 30)[:count])
        with Image.open(path) as sheet:
            assert sheet.size == (160 * columns, 190 * rows)
