# SPDX-License-Identifier: MIT
import json

import pytest

from keras_vit import UserError
from keras_vit.training import agreement
from keras_vit.training.agreement import check_agreement, check_same_software
from keras_vit.training.cluster import Cluster


@pytest.fixture
def told(monkeypatch):
    """What processes have written into the store, by its key."""
    signs = {}

    class Store:
        def key_value_set(self, key, value):
            signs[key] = value

        def blocking_key_value_get(self, key, milliseconds):
            found = signs.pop(f"late {key}", None) or signs.get(key)
            if found is None:
                raise RuntimeError("UNAVAILABLE: no service\nand more")
            if found == "late":
                raise RuntimeError("DEADLINE_EXCEEDED: it is late")
            return found

    monkeypatch.setattr(agreement, "store", Store)
    return signs


def test_processes_that_are_alike_agree(told):
    told["keras_vit/run/0"] = json.dumps({"epochs": "3"})
    check_agreement("run", {"epochs": "3"}, Cluster(1, 2))
    assert json.loads(told["keras_vit/run/1"]) == {"epochs": "3"}
    check_agreement("run", {"epochs": "3"}, Cluster())


def test_what_differs_is_named_with_the_value_of_each(told):
    told["keras_vit/run/0"] = json.dumps({"epochs": "3", "seed": "0"})
    told["keras_vit/run/2"] = json.dumps({"epochs": "3"})
    with pytest.raises(UserError, match=r"in seed \(process 0: 0, process 1: 1, process 2: noth"):
        check_agreement("run", {"epochs": "3", "seed": "1"}, Cluster(1, 3))


def test_only_a_few_differences_are_listed(told):
    told["keras_vit/run/0"] = json.dumps({name: "1" for name in "abcde"})
    with pytest.raises(UserError, match=r"c \(process 0: 1, process 1: 2\) and 2 more\. Start"):
        check_agreement("run", dict.fromkeys("abcde", "2"), Cluster(1, 2))


def test_one_that_counts_otherwise_is_enough(told):
    """Process 2, which process 0 knows nothing of, is not waited for."""
    check_same_software(Cluster(0, 1))
    told["keras_vit/software/0"] = json.dumps({"the number of processes": "2"})
    with pytest.raises(UserError, match=r"the number of processes \(process 0: 2, process 1: 3\)"):
        check_same_software(Cluster(1, 3))


def test_one_that_is_late_is_told_and_one_that_is_gone_is_an_error(told, capsys):
    told["late keras_vit/run/0"], told["keras_vit/run/0"] = "late", json.dumps({})
    check_agreement("run", {}, Cluster(1, 2))
    assert (
        "waiting for process 0, which has not said what it would train" in capsys.readouterr().err
    )
    with pytest.raises(UserError, match=r"process 2 cannot be asked \(UNAVAILABLE: no service\)"):
        check_agreement("run", {}, Cluster(1, 3))
