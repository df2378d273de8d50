# SPDX-License-Identifier: MIT
"""The layers of keras_vit in an ordinary Keras model, as the paper reads (arXiv 2010.11929)."""

import keras

import keras_vit
from keras_vit.layers import PatchEncoder, Patches, TransformerBlock

IMAGE, PATCH, WIDTH, DEPTH, HEADS = 8, 2, 48, 4, 4


def make_model(num_classes: int) -> keras.Model:
    pixels = keras.Input((IMAGE, IMAGE, 1))  # (B, H, W, C), 0 to 255
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = Patches(PATCH)(x)  # (B, N, P * P * C): N = (H / P) * (W / P) patches
    # Equation 1: patches are projected, a class token is put before them, positions are added.
    x = PatchEncoder(WIDTH, grid=(IMAGE // PATCH, IMAGE // PATCH))(x)  # (B, 1 + N, D)
    for _ in range(DEPTH):  # equations 2 and 3: attention, then an MLP, each added to its input
        x = TransformerBlock(num_heads=HEADS, mlp_dim=4 * WIDTH)(x)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x[:, 0])  # equation 4: the class token
    return keras.Model(pixels, keras.layers.Dense(num_classes)(x))


def main() -> None:
    keras.utils.set_random_seed(0)
    digits, _ = keras_vit.data.load("digits")
    model = make_model(num_classes=10)
    model.compile(
        optimizer=keras.optimizers.AdamW(2e-3, weight_decay=0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(digits.train.pixels, digits.train.labels, batch_size=64, epochs=12, verbose=0)
    _, accuracy = model.evaluate(digits.test.pixels, digits.test.labels, verbose=0)
    print(f"{model.count_params():,} parameters, top-1 {accuracy:.1%}")


if __name__ == "__main__":
    main()
