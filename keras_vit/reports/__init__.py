# SPDX-License-Identifier: MIT
"""From results to what a person reads: tables, pages and pictures."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.reports.audit import audit_table as audit_table
    from keras_vit.reports.benchmark import latency_table as latency_table
    from keras_vit.reports.benchmark import pipeline_table as pipeline_table
    from keras_vit.reports.evaluation import evaluation_table as evaluation_table
    from keras_vit.reports.evaluation import probe_table as probe_table
    from keras_vit.reports.explanations import draw_images as draw_images
    from keras_vit.reports.explanations import draw_test_images as draw_test_images
    from keras_vit.reports.model_card import write_card as write_card
    from keras_vit.reports.next_steps import next_table as next_table
    from keras_vit.reports.page.writing import write_measured as write_measured
    from keras_vit.reports.page.writing import write_page as write_page
    from keras_vit.reports.quantization import quantization_table as quantization_table
    from keras_vit.reports.reconstruction import draw_reconstruction as draw_reconstruction
    from keras_vit.reports.samples import draw_samples as draw_samples
    from keras_vit.reports.tables import export_table as export_table
    from keras_vit.reports.tables import markdown_report as markdown_report
    from keras_vit.reports.tables import write_report as write_report

_HOME = {
    "audit_table": "audit",
    "draw_images": "explanations",
    "draw_reconstruction": "reconstruction",
    "draw_samples": "samples",
    "draw_test_images": "explanations",
    "evaluation_table": "evaluation",
    "export_table": "tables",
    "latency_table": "benchmark",
    "markdown_report": "tables",
    "next_table": "next_steps",
    "pipeline_table": "benchmark",
    "probe_table": "evaluation",
    "quantization_table": "quantization",
    "write_card": "model_card",
    "write_measured": "page.writing",
    "write_page": "page.writing",
    "write_report": "tables",
}
if not TYPE_CHECKING:  # a type checker tells who misspells a name
    # Pictures of what speaks for an answer bring Keras, tables do not.
    __getattr__, __dir__ = attributes(__name__, _HOME)
