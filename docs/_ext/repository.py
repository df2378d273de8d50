# SPDX-License-Identifier: MIT
"""Pages of the repository that the site shows too, as the README of the recipes.

On the repository's own pages a link to a file works; on the site, which is not in the repository,
such a link becomes the path that it names.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")


def _site_links(app: Sphinx, place: Path, text: str) -> str:
    """Turns the links of one file that lead out of the site into paths of the repository."""
    root = Path(app.srcdir).parent

    def path_of(match: re.Match) -> str:
        target, _, anchor = match[2].partition("#")
        file = (place.parent / target).resolve()
        if file.is_relative_to(app.srcdir):
            inside = file.relative_to(app.srcdir).as_posix()
            return f"[{match[1]}](/{inside}{'#' + anchor if anchor else ''})"
        path = file.relative_to(root).as_posix()
        return f"`{path}`" if path.endswith(match[1].rstrip("/")) else f"{match[1]} (`{path}`)"

    return _LINK.sub(path_of, text)


def _read(app: Sphinx, name: str, content: list[str]) -> None:
    content[0] = _site_links(app, Path(app.env.doc2path(name)), content[0])


def _included(app: Sphinx, relative_path, parent: str, content: list[str]) -> None:
    place = Path(app.srcdir, relative_path).resolve()
    if place.suffix == ".md":
        content[0] = _site_links(app, place, content[0])


def setup(app: Sphinx) -> dict:
    app.connect("source-read", _read)
    app.connect("include-read", _included)
    return {"parallel_read_safe": True}
