# SPDX-License-Identifier: MIT
"""Metadata of the package; tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
ONNX = ["onnx>=1.21,<2", "onnxruntime>=1.24.1,<2"]
OPENVINO = ["openvino>=2025.3,<2027"]
PARQUET = ["pyarrow>=21,<27"]
QUANTIZE = ["litert-quantizer>=0.11,<0.12"]
TORCH = "torch>=2.6,<3"
TIMM = "timm>=1.0.20,<2"
TRANSFORMERS = "transformers>=5,<6"

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
    package_data={
        "keras_vit": [
            *("py.typed", "data/sources/bundled/*", "weights/adapters/*.json"),
            *("weights/catalog.toml", "weights/bundled/*"),
            *("reports/page/*.jinja", "reports/page/*.css"),
        ],
    },
    # The lowest version that the tests pass with, and what no version is known of yet. A package
    # whose private names are used (tests/test_private_names.py) is held within its minor version.
    # Packages that read files of strangers have a floor without the holes that are known:
    # Pillow 12.2 (writes outside of its memory, CVE-2026-42311), onnx 1.21 (links that lead out of
    # its folder, CVE-2026-27489), torch 2.6 (weights_only=True ran code, CVE-2025-32434),
    # jinja2 3.1.6 (a sandbox that can be left, CVE-2025-27516),
    # pillow-heif 1.4, the first with libheif above 1.22 (CVE-2026-32740).
    install_requires=[
        "absl-py>=2.1,<3",
        "ai-edge-litert>=2.3,<2.4",
        "h5py>=3.14,<4",
        "huggingface_hub>=0.30,<3",
        "importlib_resources>=6.4,<8",  # TFDS imports it without asking for it
        "jinja2>=3.1.6,<4",
        "keras>=3.15.1,<3.16",
        "markupsafe>=3,<4",
        "matplotlib>=3.11,<4",
        "numpy>=2.2,<3",
        "pillow>=12.2,<14",
        "rich>=13.9,<16",
        "tensorflow-datasets>=4.9.10,<5",
        "tensorflow>=2.21,<2.22",
    ],
    extras_require={
        "test": [
            *("pytest>=9,<10", "pytest-xdist>=3.8,<4", "ruff>=0.15,<0.18", "hypothesis>=6.140,<7"),
            *("setuptools>=77.0.3", "wheel>=0.45", "pyyaml>=6,<7", *ONNX, *QUANTIZE),
            *PARQUET,
            *OPENVINO,
        ],
        "onnx": ONNX,
        # Runs ONNX files, on CPUs of servers faster than ONNX Runtime.
        "openvino": [*OPENVINO, *ONNX],
        # Selective static int8 of LiteRT files.
        "quantize": QUANTIZE,
        # Features in a .parquet file.
        "parquet": PARQUET,
        "heif": ["pillow-heif>=1.4,<2"],
        "fuzz": ["atheris>=2.3,<4"],
        "types": ["mypy>=2.4,<3"],
        # The site, see docs/conf.py.
        "docs": ["sphinx>=8.2,<10", "myst-parser>=4,<6", "furo>=2025.7.19,<2027"],
        # The libraries that `keras-vit parity` compares with.
        "parity": [
            *(TORCH, TIMM, TRANSFORMERS, "open-clip-torch>=3,<4"),
            *("flax>=0.12,<0.13", "jax>=0.9,<0.11"),
        ],
        # What benchmarks/pipeline.py, benchmarks/export and benchmarks/training compare with.
        "bench": [
            *(TIMM, TORCH, TRANSFORMERS, "torchvision", "onnxscript>=0.5,<0.8"),
            *("keras-hub>=0.26,<0.33", *OPENVINO, *ONNX, *QUANTIZE),
        ],
    },
    entry_points={"console_scripts": ["keras-vit = keras_vit.apps.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
