# SPDX-License-Identifier: MIT
"""`{notebook} FILE` on a page becomes the notebook: its text, code, and what it printed and drew,
below the heading of the page and without its own."""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

_FENCE = re.compile(r"^```\{notebook\} (\S+)\n```$", flags=re.MULTILINE)


def _read(app: Sphinx, name: str, content: list[str]) -> None:
    folder = Path(app.env.doc2path(name)).parent

    def markdown(match: re.Match) -> str:
        path = (folder / match[1]).resolve()
        app.env.note_dependency(str(path))
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join(_markdown(cell) for cell in cells)
        return text.partition("\n")[2]  # after the title

    content[0] = _FENCE.sub(markdown, content[0])


def _markdown(cell: dict) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    return "\n\n".join([f"```python\n{source}\n```", *map(_output, cell["outputs"])])


def _output(output: dict) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}```"
    return f"![](data:image/png;base64,{output['data']['image/png'].strip()})"


def setup(app: Sphinx) -> dict:
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
