# SPDX-License-Identifier: MIT
"""What every command has in common: help, usage errors, speed, no traceback."""

import inspect
import json
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from keras_vit.apps import cli, train

from keras_vit.untrusted import reading
from keras_vit.weights.catalog import catalog


def test_overview(without_keras):
    for arguments in ((), ("--help",)):
        done = without_keras(*arguments)
        assert done.code == 0
        for command in cli.COMMANDS:
            assert f"  {command} " in done.out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help(without_keras, command):
    done = without_keras(command, "--help")
    assert done.code == 0, done.err
    assert done.out.startswith(f"usage: keras-vit {command}")
    assert f"keras-vit {command}" in done.out.partition("examples:")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian'. Did you mean train?"),
        (["train", "--recpie", "x"], "unknown flag '--recpie'. Did you mean --recipe"),
        (
            ["train", "--learning-rate", "1e-3"],
            "--learning_rate is no flag but a field of the recipe: "
            "`--set optimizer.learning_rate=VALUE`",
        ),
        (["train", "--recipe", "digit"], "unknown recipe 'digit'. Did you mean digits?"),
        (["train", "digts"], "unknown data set 'digts'. Did you mean digits?"),
        (["train", "tfds:cifra10"], "unknown TFDS data set 'cifra10'. Did you mean cifar10"),
        (["train", "no/such/folder"], "no data at 'no/such/folder'"),
        (["train", "--set", "epoch=2"], "Did you mean epochs?"),
        (["train", "--set", "model=S16"], "unknown model 'S16'. Did you mean S/16"),
        (["train", "--set", "epochs"], "expected NAME=VALUE"),
        (["train", "--set", "schedule.warmup=5 weeks"], "expected a length as in '10000 steps'"),
        (["train", "--init", "S/16-augreg-i21"], "Did you mean S/16-augreg-i21k"),
        (["train", "--init", "no/such.npz"], "no/such.npz: no such file"),
        (["train", "photos", "--all"], "--all: expected --dry_run"),
        (["train", "--workdir", "/"], "already holds files"),
        (["train", "--max_time", "5"], "expected a time as 90s, 20m, 2h or 1h30m, not '5'"),
        (["train", "--resume", "no/such/run"], "expected the folder of a run"),
        (["train", "--resume", "x", "--recipe", "digits"], "--recipe: does not go with --resume"),
        (["train", "--config", "no/such.json"], "--config no/such.json: no such file"),
        (
            ["train", "--config", "/dev/zero"],
            "--config /dev/zero: expected a file, received a device",
        ),
        (["train", "photos", "--set", "model.depht=6"], "Did you mean model.depth"),
        (["train", "--set", "seed=-1"], "seed: expected a number from 0 to 4294967295"),
        (
            ["train", "--set", "model.width=1000000000039", "--set", "model.num_heads=7"],
            "width: expected",
        ),
        (["train", "--workdir", "/etc/hostname/run"], "/etc/hostname is a file; expected a folder"),
        (["train", "--data_dir", "/tmp"], "where TFDS keeps its data sets, and 'digits' is none"),
        (["predict"], "the following arguments are required: model, images"),
        (["predict", "no/such/model", "x.jpg"], "no/such/model: no such file or folder"),
        (["predict", ".", "x.jpg"], "expected a run folder"),
        (["predict", ".", "x.jpg", "--top_k", "0"], "--top_k: expected a whole number"),
        (["predict", ".", "x.jpg", "--top-k", "two"], "invalid int value: 'two'"),
        (["predict", ".", "x.jpg", "--format", "xml"], "invalid choice: 'xml'"),
        (["evaluate", "no/such/model"], "no such file or folder"),
        (["list", "recipe"], "unknown list 'recipe'. Did you mean recipes?"),
        (["visualize", ".", "--out", "x", "--count", "0"], "--count: expected a whole number of"),
        (["list", "weight"], "unknown list 'weight'. Did you mean weights?"),
        (["export", "."], "the following arguments are required: --out"),
        (["export", ".", "--out", "x", "--merge", "0.6"], "merge: expected a share above 0, at"),
    ],
)
def test_usage_errors_help_and_exit_with_2(without_keras, arguments, message):
    done = without_keras(*arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def examples(command):
    """The arguments of each example in the help of a command."""
    for line in inspect.getdoc(cli._module(command)).splitlines():
        typed = re.split(" {3,}", line.strip())[0]  # without the remark to the right
        for part in re.split("[;|>]", typed) if line.startswith("  ") else ():
            if part.strip().startswith("keras-vit "):
                yield shlex.split(part)[1:]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_example_of_every_help_is_understood(command, monkeypatch):
    """Its flags parse, and those of `train` make a recipe."""
    monkeypatch.setattr(reading, "read_json", lambda path, kind: {"epochs": 3})
    found = list(examples(command))
    assert found
    for name, *arguments in found:
        assert name == command
        args = cli.make_parser(command).parse_args(cli.underscored(arguments))
        if command == "train" and not args.resume:
            train._recipe(args)


def test_both_spellings_of_a_flag():
    for flag in ("--top_k", "--top-k"):
        arguments = cli.underscored(["model", "image", flag, "3"])
        assert cli.make_parser("predict").parse_args(arguments).top_k == 3


def test_file_names_keep_their_dashes():
    arguments = ["--out=a-b", "c-d", "--data-dir=e-f"]
    assert cli.underscored(arguments) == ["--out=a-b", "c-d", "--data_dir=e-f"]


def test_parsers_survive_random_arguments(capsys):
    """Every answer to nonsense is an exit with 2 or a parsed command, never another exception."""
    draw = random.Random(0)
    words = [
        "--set",
        "--format",
        "--top_k",
        "--",
        "-",
        "--recipe=",
        "=",
        "\x00",
        "-1",
        "é",
        "*",
        "",
    ]
    for _ in range(300):
        command = draw.choice(cli.COMMANDS)
        arguments = draw.choices(words, k=draw.randint(0, 5))
        try:
            cli.make_parser(command).parse_args(arguments)
        except SystemExit as stop:
            assert stop.code == 2
    capsys.readouterr()


def test_lists(without_keras):
    models = without_keras("list", "models").out
    assert "B/16" in models and "86,567,656" in models
    weights = without_keras("list", "weights").out
    row = next(line for line in weights.splitlines() if line.startswith("S/16-augreg-i21k-i1k-384"))
    assert row.split()[1:] == ["22,196,584", "31.0", "384", "83.73", "Apache-2.0"]
    assert len(weights.splitlines()) == 1 + len(catalog())
    recipes = without_keras("list", "recipes").out
    assert "digits" in recipes and "119,194" in recipes
    rows = json.loads(without_keras("list", "recipes", "--format", "json").out)
    deit = next(row for row in rows if row["recipe"] == "deit_small")
    assert deit == {
        "recipe": "deit_small",
        "paper": "arXiv 2012.12877",
        "image": "224x224",
        "parameters": 22_050_664,
        "GFLOPs": 9.2,
        "batch": 1024,
        "epochs": 300,
        "steps": None,
        "description": "DeiT-S/16 on ImageNet (arXiv 2012.12877). Published: 79.8 %.",
    }


def test_lists_of_weights(without_keras):
    asked = ("list", "weights", "--licence", "apache-2.0", "--max_params", "100M", "--sort", "top1")
    header, *lines = without_keras(*asked).out.splitlines()
    columns = ["weights", "parameters", "GFLOPs", "pixels", "top-1", "licence"]
    assert header.split() == columns
    assert all(line.split()[-1] == "Apache-2.0" for line in lines)
    assert all(int(line.split()[1].replace(",", "")) <= 100e6 for line in lines)
    top1 = [float(line.split()[4]) for line in lines if line.split()[4] != "-"]
    assert len(top1) > 20 and top1 == sorted(top1, reverse=True)
    dino = json.loads(
        without_keras("list", "weights", "--search", "DINOv2", "--format", "json").out
    )
    row = next(row for row in dino if row["weights"] == "dinov2-small")
    assert (row["measures"], row["parameters"], row["pixels"]) == ("linear", 22_056_192, 518)
    assert row["at"] == "hf:timm/vit_small_patch14_dinov2.lvd142m"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("weights", "--licence", "apache"), "Did you mean Apache-2.0"),
        (("weights", "--max_params", "many"), "expected a number as 100M or 1.5B"),
        (("weights", "--sort", "size"), "choose from name, parameters, gflops"),
        (("weights", "--search", "nothing of it"), "no weights of the catalog fit"),
        (("models", "--licence", "mit"), "goes with `keras-vit list weights`"),
    ],
)
def test_what_a_list_cannot_be_asked(without_keras, arguments, said):
    done = without_keras("list", *arguments)
    assert done.code == 2 and said in done.err.replace("'", "")


def test_scripts_are_the_commands(keras_vit_command):
    script = Path(__file__).parents[2] / "apps" / "list.py"
    done = subprocess.run(
        [sys.executable, script, "recipes"], capture_output=True, text=True, check=True
    )
    assert done.stdout == keras_vit_command("list", "recipes").out


@pytest.mark.parametrize(
    "ending, shown", [(KeyboardInterrupt, ""), (ImportError, "the log of a device\n")]
)
def test_the_device_log_is_shown_when_the_import_fails_alone(capfd, monkeypatch, ending, shown):
    def load(name):
        os.write(2, b"the log of a device\n")
        raise ending

    monkeypatch.setattr(cli.importlib, "import_module", load)
    with pytest.raises(ending):
        cli.import_keras()
    assert capfd.readouterr().err == shown
