# SPDX-License-Identifier: MIT
"""One contender of `benchmarks/training/step.py`, in a process of its own.

    python benchmarks/training/contender.py NAME SETTINGS

SETTINGS is a JSON object: image_size, patch_size, width, depth, heads, mlp_dim, classes, batch,
precision; `jit` and `device` are optional. Makes the first step and prints a line of JSON with the
process's CPU seconds since its start, or why it cannot run. Then, for each line of its input
(`step`, `forward` or `memory`), does that and prints what it took: seconds of the CPU, or with
`"device": "gpu"` of the clock, after waiting for the result.
"""

import json
import os
import resource
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[_name] = "1"

RATE, DECAY, NORM = 1e-3, 0.05, 1.0


def keras_vit(settings: dict):
    """Model, optimizer and train step as `keras-vit train` makes them."""
    return _keras_functions(*model_and_optimizer(settings), settings)


def keras_vit_remat(settings: dict):
    """With `--set remat=true`."""
    return keras_vit({**settings, "remat": True})


def keras_vit_jax(settings: dict):
    """On the JAX backend of Keras, which `main` chooses; always compiled as a whole."""
    return keras_vit({**settings, "jit": True})


def model_and_optimizer(settings: dict):
    """Ours, before `compile`."""
    from keras_vit import ViTConfig, vit
    from keras_vit.layers.transformer_block import blocks_within
    from keras_vit.recipes import Optimizer
    from keras_vit.training.optimizers import make_optimizer

    size, patch = settings["image_size"], settings["patch_size"]
    config = ViTConfig(
        image_size=(size, size),
        patch_size=(patch, patch),
        width=settings["width"],
        depth=settings["depth"],
        num_heads=settings["heads"],
        mlp_dim=settings["mlp_dim"],
        num_classes=settings["classes"],
    )
    model = vit(config)
    for block in blocks_within(model):
        block.remat = settings.get("remat", False)
    plan = Optimizer(name="adamw", learning_rate=RATE, weight_decay=DECAY, clip_norm=NORM)
    return model, make_optimizer(plan, RATE, model.trainable_variables)


def keras_hub(settings: dict):
    """`ViTImageClassifier` with Keras's own AdamW."""
    import keras
    import keras_hub

    size = settings["image_size"]
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(size, size, 3),
        patch_size=settings["patch_size"],
        num_layers=settings["depth"],
        num_heads=settings["heads"],
        hidden_dim=settings["width"],
        mlp_dim=settings["mlp_dim"],
        layer_norm_epsilon=1e-6,
    )
    model = keras_hub.models.ViTImageClassifier(backbone, num_classes=settings["classes"])
    optimizer = keras.optimizers.AdamW(RATE, DECAY, global_clipnorm=NORM)
    return _keras_functions(model, optimizer, settings)


def _keras_functions(model, optimizer, settings: dict):
    import keras

    jit = settings.get("jit", False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=jit)
    if keras.backend.backend() == "jax":
        return _jax_functions(model, settings)
    import tensorflow as tf

    images, labels = make_batch(settings)
    iterator = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    model.make_train_function()
    step = model.train_function
    forward = tf.function(lambda x: model(x, training=False), jit_compile=jit)
    images = tf.constant(images)

    def train() -> float:
        logs = step(iterator)
        return float(logs["loss"])

    return train, lambda: forward(images).numpy()


def _jax_functions(model, settings: dict):
    """The loop of `fit` on JAX: its state stays on the device, and each step gives its own away."""
    import jax

    batch = jax.device_put(make_batch(settings))
    model.train_on_batch(*batch)  # builds and compiles
    state = (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
        [variable.value for variable in model.optimizer.variables],
        [variable.value for variable in model.metrics_variables],
    )
    # The first step deletes what the variables hold; the forward pass has a copy.
    weights = jax.tree.map(lambda x: x.copy(), state[:2])
    forward = jax.jit(lambda *arguments: model.stateless_call(*arguments, training=False)[0])

    def train() -> float:
        nonlocal state
        logs, state = model.train_function(state, iter([batch]))
        return float(logs["loss"])

    return train, lambda: forward(*weights, batch[0]).block_until_ready()


def timm(settings: dict, compiled: bool = False):
    """timm's VisionTransformer, torch's fused AdamW, eager or compiled."""
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(
        img_size=settings["image_size"],
        patch_size=settings["patch_size"],
        embed_dim=settings["width"],
        depth=settings["depth"],
        num_heads=settings["heads"],
        mlp_ratio=settings["mlp_dim"] / settings["width"],
        num_classes=settings["classes"],
    )
    return _torch_functions(model, lambda output: output, settings, compiled)


def timm_compiled(settings: dict):
    """The same under `torch.compile`."""
    return timm(settings, compiled=True)


def hugging_face(settings: dict):
    """`ViTForImageClassification` of transformers, eager."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=settings["image_size"],
        patch_size=settings["patch_size"],
        hidden_size=settings["width"],
        num_hidden_layers=settings["depth"],
        num_attention_heads=settings["heads"],
        intermediate_size=settings["mlp_dim"],
        num_labels=settings["classes"],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = ViTForImageClassification(config)
    return _torch_functions(model, lambda output: output.logits, settings, compiled=False)


def _torch_functions(model, logits_of, settings: dict, compiled: bool):
    import contextlib

    import torch

    torch.set_num_threads(1)
    device = "cuda" if settings.get("device") == "gpu" else "cpu"
    model.to(device)
    images, labels = make_batch(settings)
    images = torch.tensor(images).permute(0, 3, 1, 2).contiguous() / 127.5 - 1
    images, labels = images.to(device), torch.tensor(labels).long().to(device)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=DECAY, fused=True)
    half = settings["precision"] == "bfloat16"

    def precision():
        return torch.autocast(device, torch.bfloat16) if half else contextlib.nullcontext()

    run = torch.compile(model) if compiled else model

    def train() -> float:
        with precision():
            loss = torch.nn.functional.cross_entropy(logits_of(run(images)).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, NORM)
        optimizer.step()
        return loss.item()

    def forward():
        with torch.inference_mode(), precision():
            return logits_of(run(images)).cpu()

    return train, forward


def make_batch(settings: dict):
    """Pixels of 0 to 255, float32, and labels."""
    import numpy as np

    random = np.random.default_rng(0)
    size = settings["image_size"]
    images = random.integers(0, 256, (settings["batch"], size, size, 3)).astype("float32")
    return images, random.integers(0, settings["classes"], settings["batch"]).astype("int32")


CONTENDERS = {
    function.__name__: function
    for function in (
        *(keras_vit, keras_vit_remat, keras_vit_jax),
        *(keras_hub, timm, timm_compiled, hugging_face),
    )
}


def main() -> None:
    name, settings = sys.argv[1], json.loads(sys.argv[2])
    if settings.get("device") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if name.endswith("jax"):
        os.environ["KERAS_BACKEND"] = "jax"
    if name.startswith("keras") and settings["precision"] != "float32":
        import keras

        keras.config.set_dtype_policy("mixed_bfloat16")
    clock = time.perf_counter if settings.get("device") == "gpu" else time.process_time
    try:
        train, forward = CONTENDERS[name](settings)
    except ImportError as error:
        return _say(failed=str(error))
    train()
    _say(first=time.process_time())
    for line in sys.stdin:
        what = line.strip()
        if what == "memory":
            _say(megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            continue
        before = clock()
        (train if what == "step" else forward)()
        _say(seconds=clock() - before)


def _say(**values) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
