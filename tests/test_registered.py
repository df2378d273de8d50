# SPDX-License-Identifier: MIT
"""`keras.saving.load_model` reads a file of ours after `import keras_vit`, in either order."""

import ast
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.lazy import after_import
from keras_vit.registered import REGISTERED, _stand_in, register
from keras_vit.training.optimizers import make_optimizer

PACKAGE = Path(keras_vit.__file__).parent


def test_every_class_that_registers_itself_is_known_before():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            decorators = map(ast.unparse, getattr(node, "decorator_list", ()))
            if any("register_keras_serializable" in decorator for decorator in decorators):
                assert isinstance(node, ast.ClassDef), "a stand-in stands for a class"
                found[node.name] = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    assert found == REGISTERED
    known = keras.saving.get_custom_objects()
    for name, module in REGISTERED.items():
        importlib.import_module(f"keras_vit.{module}")
        assert known[f"keras_vit>{name}"].__module__ == f"keras_vit.{module}"


def test_a_stand_in_makes_what_it_stands_for_and_gives_way_to_it():
    stand_in = _stand_in("LayerScale", "keras_vit.layers.layer_scale")
    layer = stand_in(0.5, name="scale")
    assert type(layer) is keras_vit.layers.layer_scale.LayerScale
    assert stand_in.from_config(layer.get_config()).initial_value == 0.5
    register()
    assert keras.saving.get_registered_object("keras_vit>LayerScale") is type(layer)


@pytest.fixture
def slow_module(tmp_path, monkeypatch):
    """A module that nobody has imported yet."""
    (tmp_path / "slow_module.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_module", raising=False)
    before = list(sys.meta_path)
    yield "slow_module"
    sys.modules.pop("slow_module", None)
    sys.meta_path[:] = before


def test_what_follows_an_import(slow_module):
    calls = []
    finders = len(sys.meta_path)
    after_import(slow_module, lambda: calls.append(sys.modules[slow_module].value))
    assert importlib.util.find_spec(slow_module) is not None
    assert importlib.util.find_spec("no_such_module_anywhere") is None
    assert calls == []  # to ask where a module is does not import it
    module = importlib.import_module(slow_module)
    assert calls == [1]
    assert isinstance(module.__loader__, importlib.machinery.SourceFileLoader)
    assert module.__spec__.loader is module.__loader__
    assert len(sys.meta_path) == finders
    after_import(slow_module, lambda: calls.append(2))
    assert calls == [1, 2]


def test_an_import_that_fails_may_be_tried_again(slow_module, tmp_path):
    calls = []
    after_import(slow_module, lambda: calls.append(1))
    (tmp_path / f"{slow_module}.py").write_text("1 / 0  # not yet\n")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(slow_module)
    assert calls == []
    (tmp_path / f"{slow_module}.py").write_text("value = 1\n")
    importlib.invalidate_caches()
    importlib.import_module(slow_module)
    assert calls == [1]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A file with our layers, and with our optimizer, schedule and loss in its compilation."""
    from keras_vit.training.objectives.classify import make_loss
    from keras_vit.training.schedules import make_schedule

    path = tmp_path_factory.mktemp("compiled") / "model.keras"
    config = keras_vit.ViTConfig.of(
        "Ti/16", image_size=16, patch_size=8, width=32, depth=1, num_heads=2, mlp_dim=64
    )
    model = keras_vit.vit(config)
    recipe = keras_vit.recipes.get("digits")
    schedule = make_schedule(recipe.schedule, 1e-3, 10, 2)
    optimizer = make_optimizer(recipe.optimizer, schedule, model.trainable_variables)
    model.compile(optimizer, make_loss(keras_vit.recipes.Classify(loss="sigmoid")))
    model.fit(np.zeros((2, 16, 16, 3)), np.eye(2, config.num_classes), verbose=0)
    model.save(path)
    return path


def fresh(code, path, **environment):
    """Runs code in a new interpreter, in a folder without anything of ours."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=path.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# The worst order: while one thread imports Keras, another waits for it with a lock of ours.
THREADS = """
import sys, threading, time
import keras_vit
errors = []
def guarded(function):
    def run():
        try:
            function()
        except BaseException as error:
            errors.append(error)
    return threading.Thread(target=run)
def load():
    import keras
    model = keras.saving.load_model(sys.argv[1])
    assert type(model.optimizer).__module__ == "keras_vit.training.optimizers"
    assert "keras_vit.reports" not in sys.modules
def layers():
    time.sleep(0.3)
    import keras_vit.layers
threads = [guarded(load), guarded(layers), guarded(load)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if errors:
    raise errors[0]
"""


@pytest.mark.slow
def test_keras_reads_our_files_while_threads_import(compiled):
    fresh(THREADS, compiled)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import keras, keras_vit; keras.saving.load_model(FILE)",
        "import keras_vit, keras; keras.saving.load_model(FILE)",
        "import keras_vit, keras; keras.models.load_model(FILE)",
        "from keras.saving import load_model; import keras_vit; load_model(FILE)",
        "from keras.models import load_model; import keras_vit; load_model(FILE)",
        "import keras_vit; from tensorflow.keras.models import load_model; load_model(FILE)",
        "import tensorflow as tf, keras_vit; tf.keras.models.load_model(FILE)",
        "import keras_vit; keras_vit.load_model(FILE)",
        "import keras_vit, pickle, keras; m = keras_vit.load_model(FILE); "
        "pickle.loads(pickle.dumps(m))",
    ],
)
def test_keras_reads_our_files_in_a_new_process(compiled, code):
    fresh(f"import sys; FILE = sys.argv[1]; {code}", compiled)


@pytest.mark.slow
def test_keras_reads_our_files_on_jax(compiled):
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    code = (
        "import sys, keras_vit, keras; keras.saving.load_model(sys.argv[1]); "
        "assert 'tensorflow' not in sys.modules"
    )
    fresh(code, compiled, KERAS_BACKEND="jax")
