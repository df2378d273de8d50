# SPDX-License-Identifier: MIT
"""Metadata of the package; tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="keras-vit-toolkit",  # also in keras_vit/errors.py; `keras-vit` is somebody else's project
    version="0.1.0",
    description="Vision Transformers in Keras: from a folder of images to a deployed model",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    author="The keras_vit authors",
    python_requires=">=3.11",
    # apps/ is installed as keras_vit.apps: one piece of code for the command and for the scripts.
    packages=[*find_packages(include=["keras_vit", "keras_vit.*"]), "keras_vit.apps"],
    package_dir={"keras_vit": "keras_vit", "keras_vit.apps": "apps"},
    package_data={"keras_vit": ["py.typed", "data/bundled/*"]},
    install_requires=[
        "absl-py",
        "ai-edge-litert",
        "importlib_resources",  # TFDS imports it without asking for it
        "keras>=3.15.1",
        "matplotlib",
        "numpy",
        "pillow",
        "rich",
        "tensorflow-datasets",
        "tensorflow>=2.21",
    ],
    extras_require={
        "test": [
            *("pytest", "pytest-xdist", "ruff", "setuptools", "wheel", "hypothesis"),
            *("onnx", "onnxruntime", "ai-edge-quantizer"),
        ],
        "onnx": ["onnx", "onnxruntime"],
        # Selective static int8 of LiteRT files.
        "quantize": ["ai-edge-quantizer"],
        "heif": ["pillow-heif"],
        "fuzz": ["atheris"],
        # The libraries that `keras-vit parity` compares with.
        "parity": ["torch", "timm", "transformers", "flax", "jax"],
        # What benchmarks/pipeline.py and benchmarks/export compare with.
        "bench": [
            *("timm", "torch", "torchvision", "onnxscript"),
            *("keras-hub", "onnx", "onnxruntime", "openvino", "ai-edge-quantizer"),
        ],
    },
    entry_points={"console_scripts": ["keras-vit = keras_vit.apps.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
