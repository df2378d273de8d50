# SPDX-License-Identifier: MIT
"""`{notebook} FILE` shows a notebook on a page: its text, code, and what it printed and drew."""

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Notebook(SphinxDirective):
    """Shows a notebook below the heading of the page, without its own first heading."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(str(path.resolve()))
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join(_markdown(cell) for cell in cells)
        _, _, text = text.partition("\n")  # after the title
        before, heading, sections = text.partition("\n## ")
        return [
            *self.parse_text_to_nodes(before),  # a text before a heading would be dropped with it
            *self.parse_text_to_nodes(heading + sections, allow_section_headings=True),
        ]


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
    app.add_directive("notebook", Notebook)
    return {"parallel_read_safe": True}
