# SPDX-License-Identifier: MIT
"""Which number format to train in: on a CPU, the one that was faster when both were tried."""

import contextlib
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

from keras_vit import hardware
from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.files import cache_folder, write_text
from keras_vit.layers import TransformerBlock
from keras_vit.training.distribution import gpu_compute_capabilities
from keras_vit.untrusted import reading

FORMATS = ("float32", "mixed_bfloat16")
# Narrower models spend their time outside of matrix products.
_LEAST_WIDTH = 192
_SECONDS = 1.0  # of trying, and before that the first step of each, which warms up
_STEPS = 8  # of each format, at most
_FLOPS = 2e9  # of a forward pass in the trial: a tenth of a second for a step
# bfloat16 keeps 8 bits of each number: a small gain is not worth that.
_WORTH = 0.95


def choose_precision(wanted: str, config: ViTConfig, batch_size: int) -> str:
    """Returns the Keras dtype policy for a run.

    Args:
        wanted: "float32", "mixed_bfloat16" or "auto". "auto" is mixed_bfloat16 on GPUs of compute
            capability 8.0 or more; on a CPU with AVX512-BF16 or AMX where a train step of one block
            takes less time in it, which is tried for two seconds at most and remembered for this
            machine; and else float32.
        config: the model.
        batch_size: images that go through it at once.
    """
    if wanted != "auto":
        return wanted
    capabilities = gpu_compute_capabilities()
    if capabilities:
        return FORMATS[min(capabilities) >= (8, 0)]
    native = bool(hardware.cpu_flags() & {"avx512_bf16", "amx_bf16"})
    if not native or config.width < _LEAST_WIDTH:
        return "float32"
    seconds, tried = _remembered(config, batch_size)
    chosen = FORMATS[seconds["mixed_bfloat16"] < _WORTH * seconds["float32"]]
    times = ", ".join(f"{name} {1e3 * seconds[name]:.0f} ms" for name in FORMATS)
    print(
        f"precision: {chosen}. {'Tried' if tried else 'Known'} for one block of "
        f"{config.num_tokens} tokens x {config.width}, CPU time of a train step: {times}",
        file=sys.stderr,
    )
    return chosen


def _remembered(config: ViTConfig, batch_size: int) -> tuple[dict[str, float], bool]:
    """What `try_formats` measured on this machine with this software, and whether just now."""
    images = images_of_a_trial(config, batch_size)
    here = hardware.environment()
    shape = (images, config.num_tokens, config.width, config.mlp_dim, config.num_heads)
    key = json.dumps([here[name] for name in ("cpu", "cores", "keras_backend", "packages")])
    record = cache_folder() / "precision.json"
    known = _read(record)
    entry = known.get(f"{key} {shape}")
    if entry is not None and set(entry) == set(FORMATS):
        return entry, False
    seconds = try_formats(config, images)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs two seconds
        write_text(record, json.dumps({**known, f"{key} {shape}": seconds}, indent=1) + "\n")
    return seconds, True


def images_of_a_trial(config: ViTConfig, batch_size: int) -> int:
    """As many as are quickly tried, at most those of a batch."""
    one = config.forward_flops() / config.depth
    return int(max(1, min(batch_size, _FLOPS // one)))


def try_formats(config: ViTConfig, images: int) -> dict[str, float]:
    """Trains one block of a model in each format, in turns.

    Operations run one by one, as they do not take a graph's second to trace; the products of
    matrices, in which formats differ, are the same.

    Returns:
        Seconds of a step: the least of several, of CPU time, which a busy machine does not change.
    """
    random = np.random.default_rng(0)
    tokens = random.normal(size=(images, config.num_tokens, config.width)).astype("float32")
    models = {name: _block(config, name) for name in FORMATS}
    for model in models.values():
        model.train_on_batch(tokens, tokens)
    seconds = dict.fromkeys(FORMATS, float("inf"))
    end = time.perf_counter() + _SECONDS
    for _ in range(_STEPS):
        for name, model in models.items():
            began = time.process_time()
            model.train_on_batch(tokens, tokens)
            seconds[name] = min(seconds[name], time.process_time() - began)
        if time.perf_counter() > end:
            break
    return seconds


def _block(config: ViTConfig, policy: str) -> keras.Model:
    block = TransformerBlock(config.num_heads, config.mlp_dim, dtype=policy, name="trial")
    inputs = keras.Input((config.num_tokens, config.width), name="trial_tokens")
    model = keras.Model(inputs, block(inputs), name="trial_model")
    optimizer = keras.optimizers.SGD(1e-3, name="trial_optimizer")
    model.compile(optimizer, loss="mean_squared_error", run_eagerly=True)
    return model


def _read(record: Path) -> dict[str, dict[str, float]]:
    try:
        return reading.read_json(record, dict[str, dict[str, float]])
    except UserError:  # there is none, or it is damaged: it is made anew
        return {}
