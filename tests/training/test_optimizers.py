# SPDX-License-Identifier: MIT
"""Steps of the optimizers against NumPy in float64; who moves how much; accumulation; averages."""

import keras
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.recipes import Optimizer, Schedule
from keras_vit.recipes.optimization import OPTIMIZERS
from keras_vit.training import optimizers
from keras_vit.training.optimizers import make_optimizer, scales_of
from keras_vit.training.schedules import WarmupAndDecay, make_schedule
from keras_vit.training.trained_part import freeze
from tests.contracts import to_numpy
from tests.models.test_vit import tiny

RATE, DECAY, STEPS = 1e-2, 0.5, 5
# Of each optimizer's step: the direction that is multiplied by the rate, from (state, gradient,
# weight, step from 1).


def adam(state, g, w, t, epsilon=1e-8):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g * g
    return state["m"] / (1 - 0.9**t) / (np.sqrt(state["v"] / (1 - 0.999**t)) + epsilon)


def sgd(state, g, w, t):
    state["m"] = 0.9 * state.get("m", 0) + g
    return state["m"]


def lamb(state, g, w, t):
    update = adam(state, g, w, t, 1e-6) + (DECAY * w if w.ndim == 2 else 0)
    return update * np.linalg.norm(w) / np.linalg.norm(update)


def lion(state, g, w, t):
    m = state.get("m", 0)
    state["m"] = 0.99 * m + 0.01 * g
    return np.sign(0.9 * m + 0.1 * g)


def adafactor(state, g, w, t):
    beta = 1 - t**-0.8
    square = g * g + 1e-30
    if g.ndim == 2:
        state["r"] = beta * state.get("r", 0) + (1 - beta) * square.mean(axis=1)
        state["c"] = beta * state.get("c", 0) + (1 - beta) * square.mean(axis=0)
        v = np.outer(state["r"] / state["r"].mean(), state["c"])
    else:
        v = state["v"] = beta * state.get("v", 0) + (1 - beta) * square
    update = g / np.sqrt(v)
    update /= max(1, np.sqrt((update**2).mean()))
    return update * max(1e-3, np.sqrt((w**2).mean()))


def muon(state, g, w, t):
    state["m"] = 0.95 * state.get("m", 0) + g
    x = g + 0.95 * state["m"]
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):  # (3, 4): no taller than wide
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return 0.2 * np.sqrt(max(g.shape)) * x


REFERENCES = {"adamw": adam, "adam": adam, "sgd": sgd, "lamb": lamb, "lion": lion}
REFERENCES |= {"adafactor": adafactor, "muon": muon}


def variable(path, value):
    made = keras.Variable(np.asarray(value, "float32"), name=path.rpartition("/")[2])
    made._path = path
    return made


@pytest.mark.parametrize("name", OPTIMIZERS)
# Gradients of 1e-7 show where epsilon stands: beside them, 1e-8 is not small.
@pytest.mark.parametrize(("clip", "scale"), [(None, 1.0), (1.0, 1.0), (None, 1e-7)])
def test_steps(name, clip, scale):
    random = np.random.default_rng(0)
    plan = Optimizer(name=name, learning_rate=RATE, weight_decay=DECAY, clip_norm=clip)
    weights = [random.normal(size=(3, 4)), random.normal(size=4)]
    paths = ["block_00/mlp/hidden/kernel", "block_00/mlp/hidden/bias"]
    variables = [variable(path, w) for path, w in zip(paths, weights, strict=True)]
    schedule = WarmupAndDecay(RATE, 10 * STEPS, warmup=STEPS, start=0.2)
    optimizer = make_optimizer(plan, schedule, variables)
    states = [{}, {}]
    for t in range(1, STEPS + 1):
        gradients = [scale * random.normal(size=w.shape) for w in weights]
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in gradients])
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        rate = RATE * (0.2 + 0.8 * (t - 1) / STEPS)
        for i, (g, path) in enumerate(zip(gradients, paths, strict=True)):
            g = g * min(1, clip / norm) if clip else g
            if path.endswith("/kernel") and name == "adam":
                g = g + DECAY * weights[i]
            elif path.endswith("/kernel") and name != "lamb":
                weights[i] = weights[i] - rate * DECAY * weights[i]
            reference = adam if name == "muon" and i == 1 else REFERENCES[name]
            weights[i] = weights[i] - rate * reference(states[i], g, weights[i], t)
    for made, expected in zip(variables, weights, strict=True):
        # Weights near 1 in float32 over 5 steps.
        np.testing.assert_allclose(to_numpy(made), expected, atol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_momentum_of_sgd(nesterov):
    plan = Optimizer(name="sgd", nesterov=nesterov, weight_decay=0.0, clip_norm=None)
    made = variable("a/kernel", [0.0])
    optimizer = make_optimizer(plan, WarmupAndDecay(1.0, 4, kind="linear"), [made])
    moved = []
    for _ in range(3):
        before = float(to_numpy(made)[0])
        optimizer.apply([np.ones(1, "float32")])
        moved.append(before - float(to_numpy(made)[0]))
    momenta = [1.0, 1.9, 2.71]
    steps = [1 + 0.9 * m for m in momenta] if nesterov else momenta
    assert moved == pytest.approx(np.multiply([1, 0.75, 0.5], steps), rel=1e-6)


def test_a_decay_of_nothing_is_allowed():
    """A beta of 0, whose logarithm is minus infinity."""
    made = variable("a/kernel", [0.0])
    plan = Optimizer(beta_1=0.0, beta_2=0.0, weight_decay=0.0, clip_norm=None)
    make_optimizer(plan, 1.0, [made]).apply([np.full(1, 7.0, "float32")])
    assert float(to_numpy(made)[0]) == pytest.approx(-1.0, rel=1e-6)


def test_muon_takes_the_kernels_of_attention_as_matrices():
    """One of (width, heads, size) moves as (width, heads * size), `attention_output` as
    (heads * size, width)."""
    g = np.random.default_rng(0).normal(size=(3, 4))
    plan = Optimizer(name="muon", learning_rate=RATE, weight_decay=0.0, clip_norm=None)
    for path, shape, matrix in (
        ("block_00/attention/query/kernel", (3, 2, 2), g),
        ("block_00/attention/attention_output/kernel", (2, 2, 3), g.T),
    ):
        made = variable(path, np.zeros(shape))
        make_optimizer(plan, RATE, [made]).apply(
            [keras.ops.convert_to_tensor(matrix.reshape(shape), "float32")]
        )
        moved = to_numpy(made).reshape(matrix.shape)
        expected = -RATE * muon({}, g, None, 1)
        expected = expected if matrix is g else expected.T
        np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_muon_moves_matrices_together_as_one_by_one(monkeypatch):
    """Three wide and two tall ones of one size, which are stacked by twos, and one of another."""
    random = np.random.default_rng(0)
    shapes = [(3, 4), (4, 3), (3, 4), (4, 3), (3, 4), (5, 2)]
    weights, gradients = ([random.normal(size=s) for s in shapes] for _ in range(2))
    monkeypatch.setattr(optimizers, "_TOGETHER", 2 * 12)
    variables = [variable(f"block_0{i}/mlp/hidden/kernel", w) for i, w in enumerate(weights)]
    plan = Optimizer(name="muon", learning_rate=RATE, weight_decay=DECAY, clip_norm=None)
    make_optimizer(plan, RATE, variables).apply(
        [keras.ops.convert_to_tensor(g, "float32") for g in gradients]
    )
    for made, w, g in zip(variables, weights, gradients, strict=True):
        tall = g.shape[0] > g.shape[1]
        step = muon({}, g.T, None, 1).T if tall else muon({}, g, None, 1)
        expected = w - RATE * (DECAY * w + step)
        # Weights near 1 in float32.
        np.testing.assert_allclose(to_numpy(made), expected, atol=1e-6)


def test_muon_leaves_what_is_no_hidden_matrix_to_adamw():
    model = vit(tiny())
    optimizer = make_optimizer(Optimizer(name="muon"), RATE, model.trainable_variables)
    matrices = {
        v.path
        for v, second in zip(model.trainable_variables, optimizer.adam_velocities, strict=True)
        if second is None
    }
    kernels = {v.path for v in model.trainable_variables if v.path.endswith("/kernel")}
    assert matrices == kernels - {"patch_encoder/projection/kernel", "head/kernel"}


def test_layer_decay_gives_each_variable_of_twelve_blocks_its_rate():
    """One step of plain SGD along a gradient of ones moves each weight by rate * 0.75 ** (13 -
    layer), as in the fine-tuning of BEiT and MAE."""
    model = vit(tiny(depth=12, register_tokens=1, embedding_norm=True))
    plan = Optimizer(
        name="sgd",
        learning_rate=1.0,
        momentum=0.0,
        weight_decay=0.0,
        clip_norm=None,
        layer_decay=0.75,
        learning_rate_factors=(("^head/bias", 10.0),),
    )
    optimizer = make_optimizer(plan, 1.0, model.trainable_variables)
    before = {v.path: to_numpy(v).copy() for v in model.trainable_variables}
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    layers = {"patch_encoder": 0, "embedding_norm": 0, "encoder_norm": 13, "head": 13}
    layers |= {f"block_{i:02d}": i + 1 for i in range(12)}
    for v in model.trainable_variables:
        expected = 0.75 ** (13 - layers[v.path.partition("/")[0]])
        expected *= 10 if v.path == "head/bias" else 1
        # Weights below 2 in float32 hold a difference to 1e-7; factors reach 10.
        np.testing.assert_allclose(before[v.path] - to_numpy(v), expected, atol=1e-6)


def test_weight_decay_acts_on_kernels_alone():
    model = vit(tiny(layer_scale=0.1, qk_norm=True, register_tokens=1))
    scales = scales_of(Optimizer(weight_decay=0.1), [v.path for v in model.trainable_variables])
    per_block = {
        *(f"attention/{n}/kernel" for n in ("query", "key", "value", "attention_output")),
        *(f"mlp/{n}/kernel" for n in ("hidden", "output_projection")),
    }
    assert {path for path, (_, decay) in scales.items() if decay} == {
        "patch_encoder/projection/kernel",
        "head/kernel",
        *(f"block_0{i}/{name}" for i in range(2) for name in per_block),
    }
    assert {decay for _, decay in scales.values()} == {0.0, 0.1}


def test_factors_replace_the_decay_and_scale_it_with_the_rate():
    plan = Optimizer(
        name="sgd",
        weight_decay=0.1,
        clip_norm=None,
        learning_rate_factors=(("block", 0.5),),
        weight_decay_factors=(("bias", 2.0), ("block", 0.0)),
    )
    paths = ["block_00/mlp/hidden/kernel", "block_00/mlp/hidden/bias", "head/kernel"]
    variables = [variable(path, np.ones(2)) for path in paths]
    optimizer = make_optimizer(plan, 1.0, variables)
    optimizer.apply([keras.ops.zeros(2) for _ in variables])
    assert [round(float(to_numpy(v)[0]), 6) for v in variables] == [1.0, 1 - 0.5 * 0.2, 0.9]


@pytest.mark.parametrize("name", ["sgd", "lamb"])  # lamb has a step of its own
def test_the_head_moves_first(name):
    plan = Optimizer(name=name, weight_decay=0.0, clip_norm=None)
    variables = [variable(f"{path}/kernel", np.ones(2)) for path in ("block_00/mlp/hidden", "head")]
    optimizer = make_optimizer(plan, 1e-3, variables, head_first=2)
    moved = []
    for _ in range(6):
        before = [to_numpy(v) for v in variables]
        optimizer.apply([keras.ops.ones(2) for _ in variables])
        block, head = (float((b - to_numpy(v))[0]) for b, v in zip(before, variables, strict=True))
        moved.append(block / head)
        assert head > 0
    # Weights near 1 in float32 hold a difference of 1e-3 to 1e-4 of itself.
    np.testing.assert_allclose(moved, [0, 0, 0, 0.5, 1, 1], atol=1e-3 if name == "sgd" else 5e-3)
    assert moved[:3] == [0, 0, 0]
    with pytest.raises(UserError, match="this model has no head"):
        make_optimizer(plan, 1e-3, variables[:1], head_first=2)


def test_clipping_looks_at_all_variables_together():
    plan = Optimizer(name="sgd", momentum=0.0, weight_decay=0.0, clip_norm=1.0)
    variables = [variable("a/kernel", [0.0]), variable("b/bias", [0.0])]
    make_optimizer(plan, 1.0, variables).apply([np.array([3.0], "float32"), np.array([4.0], "f4")])
    moved = [float(to_numpy(v)[0]) for v in variables]
    assert moved == pytest.approx([-0.6, -0.8], rel=1e-6)


def test_patterns_that_are_found_nowhere_help():
    model = vit(tiny())
    with pytest.raises(UserError, match=r"found in no variable. Paths are like patch_encoder/"):
        make_optimizer(
            Optimizer(learning_rate_factors=(("blok", 2.0),)), 1.0, model.trainable_variables
        )
    with pytest.raises(UserError, match="found in no variable"):
        freeze(model, "hed")
    with pytest.raises(UserError, match="leaves nothing to train"):
        freeze(model, ".")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "adamww"}, "Did you mean adamw"),
        ({"name": "sgd", "beta_1": 0.9}, "sgd has none; it belongs to adamw, adam, lamb"),
        ({"momentum": 0.9}, "adamw has none; it belongs to sgd, muon"),
        ({"freeze": "("}, "no regular expression"),
        ({"freeze": "[["}, "no regular expression: Possible nested set"),
        ({"learning_rate_factors": ("head", 2.0)}, "pairs of a pattern and a factor"),
        ({"layer_decay": 1.5}, "from 0 to 1"),
    ],
)
def test_a_wrong_plan_helps(fields, message):
    with pytest.raises(UserError, match=message):
        Optimizer(**fields)


def test_an_optimizer_survives_saving(tmp_path):
    plan = Optimizer(name="sgd", learning_rate_factors=(("head", 0.5),), ema=0.9)
    model, x, y = fitted(plan, 16, 1, epochs=1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config()["scales"] == model.optimizer.get_config()["scales"]
    for one in (model, again):
        one.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(model.trainable_variables, again.trainable_variables, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def fitted(plan, batch_size, accumulate, epochs=5, callbacks=(), jit_compile=False):
    """A small network after `epochs` of 128 random examples, in order."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x = random.normal(size=(128, 5)).astype("float32")
    y = np.eye(3, dtype="float32")[random.integers(0, 3, 128)]
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(4, "gelu", name="block_00")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(hidden))
    updates = 128 / batch_size / accumulate
    schedule = make_schedule(Schedule(warmup="3 steps"), RATE, updates, epochs)
    optimizer = make_optimizer(plan, schedule, model.trainable_variables, accumulate)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=jit_compile)
    model.fit(
        *(x, y), batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks
    )
    return model, x, y


@pytest.mark.parametrize(
    ("name", "clip", "jit_compile"),
    [
        pytest.param("sgd", None, False, marks=pytest.mark.slow),
        ("adamw", 0.1, False),
        # XLA takes seconds.
        pytest.param("sgd", 0.1, True, marks=pytest.mark.slow),
        pytest.param("adamw", None, True, marks=pytest.mark.slow),
    ],
)
def test_four_parts_of_16_equal_a_batch_of_64(name, clip, jit_compile):
    """Ten updates with warm-up, weight decay and an average of the weights."""
    # A large epsilon keeps Adam from making a sign out of a gradient that is zero up to rounding.
    epsilon = {"epsilon": 1e-3} if name == "adamw" else {}
    plan = Optimizer(name=name, clip_norm=clip, ema=0.9, **epsilon)
    whole, *_ = fitted(plan, 64, 1, jit_compile=jit_compile)
    parts, *_ = fitted(plan, 16, 4, jit_compile=jit_compile)
    assert int(parts.optimizer.iterations) == int(whole.optimizer.iterations) == 10
    rates = [float(to_numpy(m.optimizer.learning_rate)) for m in (whole, parts)]
    assert rates[0] == pytest.approx(rates[1], abs=1e-9)
    # Both sum the same float32 numbers in another order.
    for a, b in zip(whole.trainable_variables, parts.trainable_variables, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=1e-6)


def test_the_average_has_its_closed_form():
    """After n updates: m^(n-1) w_1 + (1 - m) sum over s > 1 of m^(n-s) w_s."""
    m, seen = 0.8, []

    class Weights(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > len(seen):
                seen.append([to_numpy(v).copy() for v in self.model.trainable_variables])

    class Averages(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.averages = list(
                map(to_numpy, self.model.optimizer._model_variables_moving_average)
            )

    averages = Averages()
    fitted(Optimizer(ema=m), 32, 2, epochs=3, callbacks=[Weights(), averages])
    n = len(seen)
    assert n == 6
    shares = [m ** (n - 1), *((1 - m) * m ** (n - s) for s in range(2, n + 1))]
    for i, average in enumerate(averages.averages):
        expected = sum(share * w[i] for share, w in zip(shares, seen, strict=True))
        np.testing.assert_allclose(average, expected, atol=1e-6)  # six roundings of float32
