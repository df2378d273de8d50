# SPDX-License-Identifier: MIT
"""Pages without a browser: what is wrong with one is found, and its colors are told apart."""

import re
from pathlib import Path

import numpy as np
import pytest

from keras_vit import reports
from tests.reports.structure import complaints

CSS = (Path(reports.__file__).parent / "page" / "page.css").read_text("utf-8")
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta name="viewport" content="width=device-width"><title>a</title>
<style>p { color: red }</style></head>
<body><header><h1>a</h1></header><main><section aria-labelledby="b"><h2 id="b">b</h2>
<ul><li>c</li></ul><dl><div><dt>d</dt><dd>e</dd></div></dl><img src="data:," alt="f">
<div class="scroll" role="region" aria-label="g" tabindex="0"><table><caption>g</caption>
<thead><tr><th scope="col">h</th><th scope="col">i</th></tr></thead>
<tbody><tr><th scope="row">j</th><td>k</td></tr></tbody></table></div>
<svg role="img" aria-label="l"><line/></svg><details><summary>m</summary>n</details>
</section></main><footer><a href="https://o.org">o</a></footer></body></html>"""


def test_a_good_page():
    assert complaints(PAGE) == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (' lang="en"', ""),
        ("<title>a", "<title>"),
        ("width=device-width", "user-scalable=no"),
        ("<footer>", "<p>lost</p><footer>"),
        ('<h2 id="b">b</h2>', '<h3 id="b">b</h3>'),
        ('<h2 id="b">b</h2>', '<h1 id="b">b</h1>'),
        (' alt="f"', ""),
        ('alt="f"', 'alt=" "'),
        (' scope="row"', ""),
        ("<caption>g</caption>", ""),
        ('<th scope="row">j</th>', "<td>j</td>"),
        ("<td>k</td>", "<td>k</td><td>k</td>"),
        ('id="b"', 'id="z"'),
        ("<dl>", '<dl id="b">'),
        ('aria-label="g"', 'aria-label="b"'),
        ('aria-label="g" tabindex="0"', 'aria-label="g"'),
        ('tabindex="0"', 'tabindex="1"'),
        ('role="region"', 'role="area"'),
        ("<li>c</li>", "c<p>d</p>"),
        ("<li>c</li>", "<li></li>"),
        ('<svg role="img"', "<svg"),
        ('aria-label="l"', 'aria-labeled="l"'),
        ("<summary>m</summary>", ""),
        ('src="data:,"', 'src="https://o.org/a.png"'),
        ("color: red", "background: url(https://o.org/a.png)"),
        ("<style>", '<link href="https://o.org/a.css"><style>'),
    ],
)
def test_what_is_wrong_is_found(good, bad):
    assert PAGE.count(good) >= 1 and complaints(PAGE.replace(good, bad, 1))


SCHEMES = {
    "light": re.search(r"^:root \{(.*?)^\}", CSS, re.DOTALL | re.MULTILINE)[1],
    "dark": re.search(r"scheme: dark\) \{\s*:root \{(.*?)\}", CSS, re.DOTALL)[1],
    "print": re.search(r"@media print \{\s*:root \{(.*?)\}", CSS, re.DOTALL)[1],
}


def colors(scheme):
    """The palette of a scheme, red, green and blue from 0 to 1."""
    found = re.findall(r"--([\w-]+): #([0-9a-f]{6});", SCHEMES[scheme])
    return {name: np.array(list(bytes.fromhex(value))) / 255 for name, value in found}


def contrast(one, other):
    """From 1 to 21 (WCAG 2.2, "contrast ratio" and "relative luminance")."""
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (one, other)]
    darker, lighter = sorted(float(c @ (0.2126, 0.7152, 0.0722)) for c in linear)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast():
    assert contrast(np.zeros(3), np.ones(3)) == pytest.approx(21)
    # 4.48 is WebAIM's figure of #777777 on white, which fails by as much.
    assert contrast(np.full(3, 0x77 / 255), np.ones(3)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_are_told_from_their_ground(scheme):
    """Level AA of WCAG 2.2: 4.5 for text (1.4.3), 3 for what is drawn (1.4.11)."""
    have = colors(scheme)
    assert have.keys() == colors("light").keys()
    for ground in ("ground", "panel"):
        for words in ("ink", "soft"):
            assert contrast(have[words], have[ground]) >= 4.5, (words, ground)
        for drawn in ("first", "second"):
            assert contrast(have[drawn], have[ground]) >= 3, (drawn, ground)
    assert contrast(have["first"], have["panel"]) >= 4.5  # marks of right and wrong
    assert contrast(have["second"], have["panel"]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cell_of_the_matrix_is_read_on_every_shade(scheme):
    """The formulas of the style sheet, which are looked for here too."""
    assert "--strength: calc(var(--share) * 60%)" in CSS
    assert "--strength: calc(70% + var(--share) * 30%)" in CSS
    have = colors(scheme)
    for share in np.linspace(0, 1, 101):
        deep = share > 0.5
        strength = 0.7 + 0.3 * share if deep else 0.6 * share
        for color in ("deep", "wrong"):
            shade = strength * have[color] + (1 - strength) * have["ground"]
            words = have["on-deep"] if deep else have["ink"]
            assert contrast(words, shade) >= 4.5, (scheme, color, share)


def test_no_other_color_is_written_with():
    written = set(re.findall(r"(?<![-\w])(?:color|fill): ([^;}]+)", CSS.split("body {", 1)[1]))
    known = {"var(--ink)", "var(--soft)", "var(--first)", "var(--second)", "var(--on-deep)", "none"}
    assert written == known
