# SPDX-License-Identifier: MIT
"""The private names of other packages that this one uses, all of them, and whether they moved.

A new version of a package may rename them without a word. Whoever needs one more adds it here;
`setup.py` then allows no version of the package that these tests have not seen.
"""

import argparse
import ast
import importlib
import inspect
import pkgutil
import types
from pathlib import Path

import keras
import pytest

import keras_vit

ROOT = Path(__file__).parent.parent


def optimizer(kind=keras.optimizers.AdamW, **options):
    made = kind(learning_rate=0.1, **options)
    made.build([keras.Variable([1.0, 2.0])])
    return made


# What has the name: how to get it; name -> its parameters, or None for a value.
PRIVATE = {
    "keras.optimizers.Optimizer": (
        lambda: optimizer(use_ema=True),
        {
            "_all_reduce_sum_gradients": ["grads_and_vars"],
            "_apply_weight_decay": ["variables"],
            "_backend_update_step": ["grads", "trainable_variables", "learning_rate"],
            "_get_current_learning_rate": [],
            "_get_variable_index": ["variable"],
            "_iterations": None,
            "_learning_rate": None,
            "_model_variables_moving_average": None,
            "_trainable_variables": None,
            "_update_model_variables_moving_average": ["trainable_variables"],
        },
    ),
    "keras.optimizers.AdamW": (optimizer, {"_momentums": None, "_velocities": None}),
    "keras.optimizers.Lamb": (
        lambda: optimizer(keras.optimizers.Lamb),
        {"_momentums": None, "_velocities": None},
    ),
    "keras.optimizers.Muon": (
        lambda: optimizer(keras.optimizers.Muon),
        {
            "_adamw_update_step": ["gradient", "variable", "learning_rate", "m", "v"],
            "_muon_update_step": ["gradient", "variable", "lr", "m"],
            "_should_use_adamw": ["variable"],
        },
    ),
    "keras.callbacks.SwapEMAWeights": (
        keras.callbacks.SwapEMAWeights,
        {
            "_backend_swap_variables": ["optimizer"],
            "_ema_weights_in_model": None,
            "_swap_variables": [],
            "_tf_swap_variables": ["optimizer"],
        },
    ),
    "keras.layers.Layer": (keras.layers.Layer, {"_flatten_layers": ["include_self", "recursive"]}),
    "keras.Variable": (lambda: keras.Variable(0.0), {"_layout": None}),
    "keras.Model": (keras.Sequential, {"_symbolic_build": ["iterator", "data_batch"]}),
    "argparse.ArgumentParser": (argparse.ArgumentParser, {"_option_string_actions": None}),
}


def litert_interpreter():
    return pytest.importorskip("ai_edge_litert.interpreter").Interpreter


def quantizer():
    module = pytest.importorskip("litert_quantizer.quantizer", reason="needs the extra `quantize`")
    names = module.Quantizer.__init__.__code__.co_names  # to make one takes a model
    return types.SimpleNamespace(**dict.fromkeys(names))


def store():
    return pytest.importorskip("jax._src.distributed", reason="the JAX backend").global_state


PRIVATE |= {
    "jax._src.distributed.global_state": (store, {"client": None}),
    "ai_edge_litert.interpreter.Interpreter": (litert_interpreter, {"_get_ops_details": ["self"]}),
    "litert_quantizer.quantizer.Quantizer": (quantizer, {"_recipe_manager": None}),
}
# Of namedtuples and of `os`, where they are documented in spite of their underscore.
DOCUMENTED = {"_asdict", "_exit", "_fields", "_replace"}


@pytest.mark.parametrize("owner", PRIVATE)
def test_a_private_name_that_is_used_has_not_moved(owner):
    make, names = PRIVATE[owner]
    made, moved = make(), []
    for name, expected in names.items():
        if not hasattr(made, name):
            moved.append(f"{name} is gone")
            continue
        found = getattr(made, name)
        parameters = list(inspect.signature(found).parameters) if callable(found) else None
        if parameters != expected:
            moved.append(f"{name} took {expected} and takes {parameters}")
    assert not moved, f"{owner}: {'; '.join(moved)}"


def test_every_private_name_that_is_read_is_listed():
    own, read = set(), {}
    for path in [*(ROOT / "keras_vit").rglob("*.py"), *(ROOT / "apps").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    own.add(name)
                case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                    own.add(name)
                case ast.Attribute(attr=name) if name.startswith("_") and name[:2] != "__":
                    read.setdefault(name, f"{path.relative_to(ROOT)}, line {node.lineno}")
    assert not {name: where for name, where in read.items() if name not in own | listed()}


def test_every_private_method_that_is_overridden_is_listed():
    """Else a name that Keras begins to use would take one of ours for its own."""
    found = {}
    for module in pkgutil.walk_packages(keras_vit.__path__, "keras_vit."):
        if module.name.split(".")[1] in ("layers", "models", "training"):
            importlib.import_module(module.name)
    for kind in descendants(
        keras.layers.Layer, keras.callbacks.Callback, keras.optimizers.Optimizer
    ):
        foreign = [base for base in kind.__mro__ if not base.__module__.startswith("keras_vit")]
        for name in vars(kind) if kind.__module__.startswith("keras_vit") else ():
            if name.startswith("_") and not name.startswith("__"):
                theirs = [base for base in foreign if name in vars(base)]
                if theirs:
                    found[name] = f"{kind.__name__}, of {theirs[0].__name__}"
    assert found, "none is found, so this test sees nothing"
    assert not {name: where for name, where in found.items() if name not in listed()}


def listed():
    return DOCUMENTED.union(*(names for _, names in PRIVATE.values()))


def descendants(*kinds):
    for kind in kinds:
        yield kind
        yield from descendants(*kind.__subclasses__())
