# SPDX-License-Identifier: MIT
"""report.html in headless Chromium: nothing asks the network, nothing is wrong by axe-core's rules,
and nothing is wider than a phone. Skipped where there is no Chromium; axe-core is one of npm's.

What of it needs no browser is in `structure.py`, by which `test_page.py` looks at every page.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from keras_vit.data.dataset import Arrays
from keras_vit.export.metadata import Metadata
from keras_vit.measuring import Measured
from keras_vit.model_file import ModelFile
from keras_vit.predictor import Predictor
from keras_vit.reports import write_measured

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="Chromium is not installed (Debian: chromium), and only a browser knows widths, "
        "requests and scripts; the structure and the colors of pages were tested without one",
    ),
]


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The text of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, which brings axe-core")
    pack = ["npm", "pack", "axe-core@4", "--silent"]
    done = subprocess.run(pack, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip("npm's registry does not answer, which has axe-core")
    (archive,) = folder.glob("axe-core-*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text("utf-8")


def opened(page, tmp_path, *flags):
    """What Chromium makes of a page, as HTML, and what it logs."""
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *("--virtual-time-budget=20000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"),
        *(*flags, page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def found(page, tmp_path, script, *flags):
    """What a script finds in a page, which forbids scripts: in a copy that does not."""
    text = page.read_text("utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    ending = f"<script>{script}</script></body>"
    (tmp_path / "copy.html").write_text(text.replace("</body>", ending), "utf-8")
    shown, _ = opened(tmp_path / "copy.html", tmp_path, *flags)
    return json.loads(re.search(r'data-found="([^"]*)"', shown)[1].replace("&quot;", '"'))


def test_nothing_is_complained_of(digits_run, tmp_path):
    shown, console = opened(digits_run[0] / "report.html", tmp_path)
    assert "How to load it" in shown and console == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_it_is_accessible(digits_run, tmp_path, axe, width, scheme):
    script = axe + (
        ";axe.run(document).then(r => document.body.dataset.found = JSON.stringify("
        "r.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200)])))"
    )
    flags = (f"--window-size={width},900", f"--blink-settings=preferredColorScheme={scheme}")
    assert found(digits_run[0] / "report.html", tmp_path, script, *flags) == []


@pytest.mark.parametrize("classes", [20, 40])
def test_long_names_are_accessible_and_fit_a_phone(tmp_path, axe, classes):
    """With a matrix that is read, and with one that is a picture."""
    random = np.random.default_rng(0)
    names = [f"{'Unaussprechlichkeitsprüfung' * 3} {i} كلب" for i in range(classes)]
    labels = np.arange(3 * classes) % classes
    pixels = random.integers(0, 255, (len(labels), 60, 90, 3)).astype("uint8")
    model = ModelFile(Path("model.tflite"), None)
    predictor = Predictor(None, Metadata("a run", tuple(names), (60, 90), 3), model.path)
    logits = random.normal(size=(len(labels), classes)).astype("float32")
    answered = Measured(model, predictor, "others", Arrays(labels, pixels), logits)
    page = write_measured(answered, tmp_path / "page.html")
    assert ("matrix-picture" in page.read_text("utf-8").split("</style>")[1]) == (classes > 30)
    script = axe + (
        ";axe.run(document).then(r => document.body.dataset.found = JSON.stringify("
        "[r.violations.map(v => [v.id, v.nodes[0].html.slice(0, 200)]),"
        " document.documentElement.scrollWidth - window.innerWidth]))"
    )
    violations, too_wide = found(page, tmp_path, script, "--window-size=390,900")
    assert violations == [] and too_wide <= 0


def test_it_fits_a_phone(digits_run, tmp_path):
    script = (
        "document.body.dataset.found = JSON.stringify("
        "[document.documentElement.scrollWidth, window.innerWidth,"
        " performance.getEntriesByType('resource')"
        ".filter(e => !e.name.startsWith('data:')).length])"
    )
    page = digits_run[0] / "report.html"
    wide, window, asked = found(page, tmp_path, script, "--window-size=390,900")
    assert wide <= window and asked == 0


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_the_page_on_maps_is_accessible(digits_run, tmp_path, axe, scheme, in_process):
    kinds = "relevance,rollout,heads,distance,positions,filters"
    flags = ("--count", "3", "--what", kinds, "--out", tmp_path, "--html")
    page = Path(in_process("visualize", digits_run[0], *flags).out.strip())
    shown, console = opened(page, tmp_path)
    assert "What each layer costs" in shown and console == []
    script = axe + (
        ";axe.run(document).then(r => document.body.dataset.found = JSON.stringify("
        "[r.violations.map(v => [v.id, v.nodes[0].html.slice(0, 200)]),"
        " document.documentElement.scrollWidth - window.innerWidth]))"
    )
    flags = ("--window-size=390,900", f"--blink-settings=preferredColorScheme={scheme}")
    violations, too_wide = found(page, tmp_path, script, *flags)
    assert violations == [] and too_wide <= 0
