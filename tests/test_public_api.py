# SPDX-License-Identifier: MIT
"""The public names. Who changes this list changes what users have written programs against."""

import ast
import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import keras_vit

NAMES = {
    *("Predictor", "UserError", "ViT", "ViTConfig", "__version__", "analysis", "config_of"),
    *(
        "create",
        "data",
        "deploy",
        "embed",
        "evaluation",
        "export",
        "layers",
        "load_model",
        "models",
        "recipes",
    ),
    *("reports", "train", "training", "vit", "weights"),
}

ROOMS = {
    "analysis": (
        "Grade LayerCost Moved Neuron artefacts attention_distance attention_entropy "
        "attention_maps attention_of_the_output effective_rank examine explain "
        "heads_of_the_output layer_costs move_to_register patch_filters pointing "
        "position_similarity reconstruct register_neurons rollout rollout_of_the_output "
        "token_norms token_similarity"
    ),
    "data": (
        "Arrays Audit Encoded Files Finding ImageSet Preprocessing Split audit_files "
        "evaluation_batches from_arrays load read_image training_batches"
    ),
    "deploy": (
        "Agreement BenchmarkPlan CheckImages CheckedExport ExportOptions Latency Original "
        "Runners compare export_model export_run plan_benchmark run_benchmark time_files"
    ),
    "evaluation": (
        "ClassScores Confusion Reliability average_precision class_places class_scores "
        "confusion_matrix few_shot_accuracy headline knn_accuracy mean_average_precision "
        "most_confused predicted_classes real_accuracy real_labels reliability "
        "ridge_scores sigmoid softmax summarize summarize_multilabel top_k_accuracy wilson_interval"
    ),
    "export": (
        "Folded Metadata Worker fold open_runner operators to_onnx to_saved_model to_tflite"
    ),
    "layers": (
        "Attention AttentionPool FeedForward LayerScale PatchDropout PatchEncoder Patches RMSNorm "
        "RelativePositionBias ResNetStem RotaryEmbedding StandardizedConv2D StochasticDepth "
        "TokenPool TransformerBlock sincos2d"
    ),
    "models": "MaskedAutoencoder ViT blocks check_plain config_of num_visible vit",
    "recipes": (
        "Augmentation Changes Classify Data Distill Objective Optimizer Phase Recipe Reconstruct "
        "Schedule cifar10_fast cifar10_seed debug default_for describe digits explain field_names "
        "finetune from_dict get linear_probe merge model_for names override paper_finetune "
        "paper_imagenet paper_imagenet21k paper_of to_dict vit_cifar"
    ),
    "reports": (
        "audit_table draw_images draw_reconstruction draw_samples draw_test_images "
        "evaluation_table export_table latency_table markdown_report next_table pipeline_table "
        "probe_table quantization_table write_card write_measured write_page write_report"
    ),
    "training": (
        "DryRun Interrupted NonFiniteLoss ProcessLost Run RunOptions Stopped TimeIsUp WriteFailed "
        "dry_run resume train"
    ),
    "weights": (
        "Adapter LoadOptions certify convert inspect load_model open_source register save "
        "unregister"
    ),
}


def written_in(room):
    """Names that a package's `__init__.py` offers as `X as X` or defines."""
    tree = ast.parse((Path(keras_vit.__file__).parent / room / "__init__.py").read_text("utf-8"))
    names = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    names |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name for name in names if not name.startswith("_")}


def test_snapshot():
    assert set(dir(keras_vit)) == NAMES
    assert written_in(".") | {"__version__"} == NAMES
    for room, names in ROOMS.items():
        assert written_in(room) == set(names.split()), room


def test_dir_shows_the_names_of_every_room():
    for room, names in ROOMS.items():
        assert set(names.split()) <= set(dir(getattr(keras_vit, room))), room


def test_every_name_resolves():
    for name in NAMES:
        assert getattr(keras_vit, name) is not None
    for room, names in ROOMS.items():
        for name in names.split():
            assert getattr(getattr(keras_vit, room), name) is not None, f"{room}.{name}"


def test_no_name_is_hidden_by_the_module_that_it_is_called_after():
    """`training.train` stays a function when `training/train.py` is imported."""
    for room, names in ROOMS.items():
        package = importlib.import_module(f"keras_vit.{room}")
        for name in names.split():
            if importlib.util.find_spec(f"keras_vit.{room}.{name}") is not None:
                importlib.import_module(f"keras_vit.{room}.{name}")
                assert not isinstance(getattr(package, name), types.ModuleType), f"{room}.{name}"


def test_every_name_has_a_docstring():
    for room, names in ROOMS.items():
        for name in names.split():
            assert getattr(getattr(keras_vit, room), name).__doc__, f"{room}.{name}"


def test_importing_the_package_imports_no_framework():
    code = (
        "import sys, keras_vit; keras_vit.ViTConfig.of('B/16'); keras_vit.recipes.get('digits');"
        "print([m for m in ('keras', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
