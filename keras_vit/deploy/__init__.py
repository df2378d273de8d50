# SPDX-License-Identifier: MIT
"""Deployment: a model becomes files that were run and compared with it, and were timed."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.deploy.candidates import ExportOptions as ExportOptions
    from keras_vit.deploy.comparison import Agreement as Agreement
    from keras_vit.deploy.comparison import compare as compare
    from keras_vit.deploy.export import export_run as export_run

_HOME = {
    "ExportOptions": "candidates",
    "Agreement": "comparison",
    "compare": "comparison",
    "export_run": "export",
}
__getattr__, __dir__ = attributes(__name__, _HOME)  # files are timed without Keras
