# SPDX-License-Identifier: MIT
"""Deployment: a model becomes files that were run and compared with it, and are timed."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.deploy.benchmark import run_benchmark as run_benchmark
    from keras_vit.deploy.benchmark_plan import BenchmarkPlan as BenchmarkPlan
    from keras_vit.deploy.benchmark_plan import plan_benchmark as plan_benchmark
    from keras_vit.deploy.checked_export import CheckedExport as CheckedExport
    from keras_vit.deploy.checked_export import ExportOptions as ExportOptions
    from keras_vit.deploy.checking import Runners as Runners
    from keras_vit.deploy.comparison import Agreement as Agreement
    from keras_vit.deploy.comparison import compare as compare
    from keras_vit.deploy.exporting import export_model as export_model
    from keras_vit.deploy.exporting_runs import export_run as export_run
    from keras_vit.deploy.latency import Latency as Latency
    from keras_vit.deploy.latency import time_files as time_files
    from keras_vit.deploy.original import CheckImages as CheckImages
    from keras_vit.deploy.original import Original as Original

_HOME = {
    "run_benchmark": "benchmark",
    "BenchmarkPlan": "benchmark_plan",
    "plan_benchmark": "benchmark_plan",
    "CheckedExport": "checked_export",
    "ExportOptions": "checked_export",
    "CheckImages": "original",
    "Original": "original",
    "Runners": "checking",
    "Agreement": "comparison",
    "compare": "comparison",
    "export_model": "exporting",
    "export_run": "exporting_runs",
    "Latency": "latency",
    "time_files": "latency",
}
if not TYPE_CHECKING:  # a type checker tells who misspells a name
    __getattr__, __dir__ = attributes(__name__, _HOME)  # files are timed without Keras
