# SPDX-License-Identifier: MIT
"""How Sphinx makes the site: `sphinx-build -W docs build/docs`, then open build/docs/index.html.

Nothing is fetched, neither while building nor while reading: no fonts, scripts or inventories from
elsewhere, so that the site also reads from a folder without network.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import keras_vit

project = "keras_vit"
author = "The keras_vit authors"
copyright = "the keras_vit authors, MIT license"
release = version = keras_vit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
extensions += ["notebook", "repository", "rooms"]  # of _ext/
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext", "README.md"]
myst_enable_extensions = ["colon_fence", "attrs_block"]
myst_heading_anchors = 3
highlight_language = "python"

# Docstrings in Google's style.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False

html_theme = "furo"
html_title = "keras_vit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
