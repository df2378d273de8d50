# SPDX-License-Identifier: MIT
import json

from keras_vit.data.timing import Stage
from keras_vit.reports import pipeline_table


def test_the_data_pipeline(in_process):
    flags = ("benchmark", "data", "digits", "--seconds", "0.02", "--format", "json")
    result = in_process(*flags)
    assert result.code == 0
    stages = json.loads(result.out)
    assert [stage["name"] for stage in stages] == ["decode, crop, batch", "mix", "cached"]
    assert all(stage["images_per_second"] > 0 for stage in stages)


def test_the_table():
    stages = [Stage("read", 12345.6, 0.0811, 0.0811, 1.0), Stage("flip", 500.0, 2.0, 1.9189, 1.0)]
    assert pipeline_table(stages).splitlines() == [
        "up to   images/s   CPU ms/image   added    cores",
        "read    12,346     0.081          +0.081   1.00",
        "flip    500        2.000          +1.919   1.00",
    ]
