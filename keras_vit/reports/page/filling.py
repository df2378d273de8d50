# SPDX-License-Identifier: MIT
"""Fills in the templates."""

from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from keras_vit.untrusted.text import visible, visible_lines

_FOLDER = Path(__file__).parent


def filled(template: str, page: Any) -> str:
    """A page. Whatever is no markup of ours is text: escaped, and without invisible signs.

    Args:
        template: name of a file beside this one.
        page: what it says.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["lines"] = lambda text: Markup(escape(visible_lines(text)))
    environment.filters["percent"] = lambda share: "-" if share is None else f"{share:.1%}"
    return environment.get_template(template).render(page=page) + "\n"


def _plain(value: Any) -> Any:
    """What would not be seen is spelled out; markup that this program made stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
