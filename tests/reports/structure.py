# SPDX-License-Identifier: MIT
"""What is wrong with a page for those who hear it or read it with keys alone, without a browser.

The rules are those of axe-core that need no layout; `test_page_in_browser.py` has all of them.
"""

import html.parser
import itertools
import re

_EMPTY = {"meta", "link", "img", "br", "line", "circle", "polyline"}
_LANDMARKS = ["header", "main", "footer"]
_ROLES = {"region", "img"}
_ARIA = {"aria-label", "aria-labelledby", "aria-hidden"}
_CHILDREN = {  # what else would not be read as a part of its list or table
    "ul": {"li"},
    "ol": {"li"},
    "dl": {"div", "dt", "dd"},
    "table": {"caption", "thead", "tbody"},
    "thead": {"tr"},
    "tbody": {"tr"},
    "tr": {"td", "th"},
}
_WITH_WORDS = {"title", "h1", "h2", "h3", "caption", "th", "summary", "figcaption", "li", "dt"}


class Element:
    """An element: its tag, attributes, parent, elements in it, and words, of all in it."""

    def __init__(self, tag, attributes, parent):
        self.tag, self.parent, self.children, self.words = tag, parent, [], ""
        self.attributes = {name: value or "" for name, value in attributes}

    def get(self, name):
        return self.attributes.get(name, "").strip()

    def all(self, *tags):
        """Those in it, in their order, of some tags or of any."""
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)


class _Tree(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.root = self.here = Element("", (), None)
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = Element(tag, attrs, self.here)
        self.here.children.append(element)
        if tag not in _EMPTY:
            self.here = element

    def handle_startendtag(self, tag, attrs):
        self.here.children.append(Element(tag, attrs, self.here))

    def handle_endtag(self, tag):
        assert self.here.tag == tag, f"</{tag}> ends <{self.here.tag}>, {self.getpos()}"
        self.here = self.here.parent

    def handle_data(self, data):
        element = self.here
        while element is not None:
            element.words += data
            element = element.parent


def complaints(text):
    """What is wrong with a page, one line for each finding; none of a good one."""
    root = _Tree(text).root
    rules = (_document, _headings, _pictures, _tables, _names, _lists, _reached, _elsewhere)
    return [line for rule in rules for line in rule(root)]


def _document(root):
    page, head, body = (next(root.all(tag)) for tag in ("html", "head", "body"))
    if not re.fullmatch("[a-z]{2}(-[A-Za-z]+)?", page.get("lang")):
        yield "html: no language"
    if len([title for title in head.all("title") if title.words.strip()]) != 1:
        yield "title: not one with words"
    views = [meta.get("content") for meta in page.all("meta") if meta.get("name") == "viewport"]
    if len(views) != 1 or re.search("user-scalable|maximum-scale", views[0]):
        yield "meta: no viewport that can be enlarged"
    if [child.tag for child in body.children] != _LANDMARKS:
        yield f"body: expected {_LANDMARKS}, and all that is read in one of them"


def _headings(root):
    levels = [int(one.tag[1]) for one in root.all(*(f"h{level}" for level in range(1, 7)))]
    if levels.count(1) != 1 or levels[0] != 1:
        yield "h1: not one, before the others"
    if any(after > before + 1 for before, after in itertools.pairwise(levels)):
        yield f"headings: a level is left out in {levels}"


def _pictures(root):
    for picture in root.all("img"):
        if not picture.get("alt"):
            yield f"img: no alt, {picture.get('src')[:40]}"
    for picture in root.all("svg"):
        if picture.get("role") != "img" or not picture.get("aria-label"):
            yield "svg: is no picture with a name"


def _tables(root):
    for table in root.all("table"):
        heads = list(table.all("th"))
        if not heads or any(head.get("scope") not in ("col", "row") for head in heads):
            yield "th: no scope"
        if [child.tag for child in table.children] != ["caption", "thead", "tbody"]:
            yield f"table: {[child.tag for child in table.children]}"
        for row in table.all("tr"):
            if row.parent.tag == "tbody" and row.children[0].tag != "th":
                yield f"tr: does not say what it is of: {row.words[:40]!r}"
            if len(row.children) != len(next(table.all("tr")).children):
                yield f"tr: {len(row.children)} cells: {row.words[:40]!r}"


def _names(root):
    elements = list(root.all())
    places = [element.get("id") for element in elements if "id" in element.attributes]
    yield from (f"id: {place!r} twice or empty" for place in places if places.count(place) > 1)
    by_id = {element.get("id"): element for element in elements if element.get("id")}
    spoken = []
    for element in elements:
        if (
            element.tag in _WITH_WORDS
            and not element.words.strip()
            and not list(element.all("img"))
        ):
            yield f"{element.tag}: no words"
        named = element.get("aria-labelledby")
        if named and named not in by_id:
            yield f"aria-labelledby: nothing is called {named!r}"
        if "role" in element.attributes and element.get("role") not in _ROLES:
            yield f"role: {element.get('role')!r}"
        if unknown := {name for name in element.attributes if name.startswith("aria-")} - _ARIA:
            yield f"unknown: {unknown}"
        if element.tag == "section" or element.get("role") == "region":
            spoken.append(by_id[named].words if named in by_id else element.get("aria-label"))
    yield from (f"region: {name!r} twice" for name in spoken if not name or spoken.count(name) > 1)


def _lists(root):
    for element in root.all(*_CHILDREN):
        if others := {child.tag for child in element.children} - _CHILDREN[element.tag]:
            yield f"{element.tag}: holds {others}"
    yield from ("li: in no list" for li in root.all("li") if li.parent.tag not in ("ul", "ol"))
    for details in root.all("details"):
        if not details.children or details.children[0].tag != "summary":
            yield "details: no summary"


def _reached(root):
    """What scrolls is reached with keys, and nothing is out of turn."""
    for element in root.all():
        scrolls = "scroll" in element.get("class").split()
        if scrolls and (element.get("tabindex"), element.get("role")) != ("0", "region"):
            yield f"{element.tag}: scrolls out of the reach of keys"
        if element.get("tabindex") not in ("", "0"):
            yield f"tabindex: {element.get('tabindex')}"


def _elsewhere(root):
    """Nothing is asked of another place; a link may lead there."""
    for element in root.all():
        for name in ("src", "srcset", "poster", "data", "action", "background", "xlink:href"):
            if element.get(name) and not element.get(name).startswith("data:"):
                yield f"{element.tag}: {name}={element.get(name)[:40]}"
        if element.tag == "link" and not element.get("href").startswith("data:"):
            yield f"link: {element.get('href')}"
        css = element.words if element.tag == "style" else element.get("style")
        if re.search(r"url\(|@import|image-set\(|src:", css):
            yield f"{element.tag}: its style fetches something"
