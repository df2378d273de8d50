# SPDX-License-Identifier: MIT
"""Train a Vision Transformer, test it, export it and check the exports.

examples:
  keras-vit train                                       the bundled digits, two minutes
  keras-vit train photos/                               a folder for each class
  keras-vit train photos/ --dry_run                     the plan, one step, samples.jpg; no run
  keras-vit train photos/ --init B_16.npz               from a checkpoint, which needs fewer images
  keras-vit train photos/ --recipe linear_probe --init runs/photos-1
  keras-vit train photos/ --on_bad skip                 without the files that cannot be decoded
  keras-vit train photos.csv --set objective.loss=sigmoid     labels like cat|dog
  keras-vit train tfds:cifar10 --recipe cifar10_seed
  keras-vit train photos/ --set epochs=20 --set model=S/16 --set model.depth=6 --workdir runs/try
  keras-vit train photos/ --config mine.json            the fields that mine.json has
  keras-vit train photos/ --max_time 2h --workdir runs/a; keras-vit train --resume runs/a
  keras-vit train --resume runs/a --extend 20           more epochs for a finished run
  keras-vit train photos/ --set remat=true              less memory, more time: blocks are computed
                                                        again for their gradient
  keras-vit train photos/ --set distribution=data       on all GPUs of this machine, see
                                                        docs/distributed.md

A field of the recipe is taken from --set, else from --config (JSON in the shape of a run's
recipe.json, as much of it as you like), else from the recipe.

The run folder, by default the next free runs/DATA-N, holds model.keras, README.md (its model card),
report.html, report.md, report.json, history.csv, curves.png, samples.jpg, recipe.json, labels.txt,
split.csv, export/saved_model, export/model.tflite and checkpoints/; audit.json says what was found
in the files, bad_files.txt what was skipped. What the numbers of the run ask for is said at the
end, each with its command.

Ctrl-C, SIGTERM or the end of --max_time writes a checkpoint and stops; a second signal ends at
once. After these, a crash or a power cut, --resume goes on to the very result of a run that was
never stopped. Exit codes: 0 finished, or stopped by --max_time; 1 an export disagrees, the loss is
not finite or the disk is full; 2 a mistake in flags or data; 130 Ctrl-C; 143 SIGTERM.
"""

import argparse
import re
import sys
from pathlib import Path

from keras_vit.apps.cli import import_keras, run_script

from keras_vit.untrusted.text import visible, visible_lines

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def add_flags(parser):
    _add_data_flags(parser)
    _add_recipe_flags(parser)
    _add_run_flags(parser)
    _add_resume_flags(parser)
    _add_checkpoint_flags(parser)


def _add_data_flags(parser):
    from keras_vit.recipes.schema import ON_BAD

    parser.add_argument(
        "data",
        nargs="?",
        help="a folder of images (class/*.jpg or train|val|test/class/*.jpg), a .zip or .tar.gz of "
        "one, a .csv, .tsv or .jsonl with columns path and label (and split), an .npz, tfds:NAME, "
        "hf:NAME or digits; default: what the recipe names",
    )
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--on_bad",
        choices=ON_BAD,
        help="what to do when image files cannot be decoded: stop before the first step, or train "
        "without them; default: error",
    )


def _add_recipe_flags(parser):
    from keras_vit.recipes import names

    parser.add_argument(
        "--recipe",
        help=f"one of: {', '.join(names())}; default: digits, or finetune for other data",
    )
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="start from these weights: a run folder, a file or folder of any dialect, a URL, "
        "hf:owner/name or a name of the catalog; the same as --set init=WEIGHTS",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="JSON with fields of the recipe, in the shape of a run's recipe.json",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a field of the recipe, e.g. epochs=20 or optimizer.learning_rate=1e-3; "
        "may be repeated",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        help="shrink the run to seconds: one narrow block, 2 epochs, 64 image files",
    )


def _add_run_flags(parser):
    parser.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="with --set distribution=data, fsdp or model(shards=N): how many devices; default: "
        "all; on a machine of CPUs alone they are made of its cores",
    )
    parser.add_argument("--workdir", help="run folder, new or empty; default: runs/DATA-N")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the plan, make one train step and draw its images as samples.jpg, in --workdir "
        "or here; write nothing else",
    )
    parser.add_argument(
        "--all", action="store_true", help="with --dry_run: show fields with their defaults too"
    )


def _add_resume_flags(parser):
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a run; flags that would change its recipe are errors",
    )
    parser.add_argument(
        "--extend",
        type=int,
        metavar="EPOCHS",
        help="with --resume: go on with a finished run for so many epochs, over which the schedule "
        "begins again: warm-up, peak and way down; not for runs with optimizer.ema, whose weights "
        "are an average at the end",
    )
    parser.add_argument(
        "--max_time",
        type=_duration,
        metavar="TIME",
        help="stop with a checkpoint before this has passed: 90s, 20m, 2h or 1h30m",
    )


def _add_checkpoint_flags(parser):
    parser.add_argument(
        "--checkpoint_minutes",
        type=float,
        help="time between checkpoints; default: as often as they take less than 1 %% of the time, "
        "at most every 10 seconds",
    )
    parser.add_argument(
        "--checkpoint_steps", type=int, help="train steps between checkpoints, instead of a time"
    )
    parser.add_argument(
        "--keep_checkpoints", type=int, default=2, help="how many of the newest stay; default: 2"
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="scalars for TensorBoard in RUN/tensorboard"
    )


def main(args) -> int:
    from keras_vit.training.inputs import check_inputs, check_workdir

    _check_together(args)
    resumed = _resumed(args)
    recipe = resumed.recipe if resumed else _recipe(args)
    check_inputs(recipe)
    if not args.dry_run and not resumed:
        check_workdir(recipe, args.workdir)
    import_keras()
    from keras_vit import training

    if args.dry_run:
        return _dry_run(recipe, args)
    try:
        run = _train(recipe, resumed, args)
    except training.Stopped as stop:
        print(visible_lines(f"keras-vit train: {stop}"), file=sys.stderr)
        return stop.code
    except (training.NonFiniteLoss, training.ProcessLost, training.WriteFailed) as error:
        print(visible_lines(f"keras-vit train: error: {error}"), file=sys.stderr)
        return 1
    return _show(run)


def _check_together(args):
    """Raises a `UserError` for flags that do not go together."""
    from keras_vit.errors import UserError

    if args.all and not args.dry_run:
        raise UserError("--all: expected --dry_run, whose table of fields it makes complete.")
    if args.extend is not None and (not args.resume or args.extend < 1):
        raise UserError("--extend: expected --resume RUN and a number of epochs above 0.")
    if not args.resume:
        return
    for flag in ("recipe", "debug", "workdir", "dry_run"):
        if getattr(args, flag):
            raise UserError(
                f"--{flag}: does not go with --resume, which takes everything from {args.resume}. "
                "Leave it out, or leave --resume out to start a new run."
            )


def _resumed(args):
    """The run that goes on; None for a new one."""
    from keras_vit.run_folder import RunFolder

    if not args.resume:
        return None
    run = RunFolder.open(args.resume)
    _changes(args).check_same(run.recipe, args.resume)
    return run


def _recipe(args):
    """The recipe that the flags ask for."""
    return _changes(args).apply(_named_recipe(args))


def _named_recipe(args):
    """The recipe before any flag changes it."""
    from keras_vit import recipes

    recipe = recipes.get(args.recipe or recipes.default_for(args.data))
    return recipes.debug(recipe) if args.debug else recipe


def _changes(args):
    """What the flags change in a recipe."""
    from keras_vit.recipes import Changes

    return Changes(args.config, args.init, tuple(args.set), args.data, args.data_dir, args.on_bad)


def _options(args):
    """What is none of the recipe's business: checkpoints, time and logs."""
    from keras_vit import reports, training

    return training.RunOptions(
        args.checkpoint_minutes,
        args.checkpoint_steps,
        args.keep_checkpoints,
        args.max_time,
        args.tensorboard,
        reports.draw_samples,
        _changes(args).assigned,
        args.devices,
    )


def _train(recipe, resumed, args):
    """Trains, or goes on with a run."""
    from keras_vit import training

    if resumed:
        return training.resume(resumed, options=_options(args), extend=args.extend or 0)
    return training.train(recipe, args.workdir, options=_options(args))


def _show(run) -> int:
    """Prints what came of a run; its report is written if it was not before."""
    from keras_vit import reports
    from keras_vit.run_folder import RunFolder

    if "process" in run.report:
        where = visible(run.workdir)
        print(f"\nprocess {run.report['process']}: process 0 writes {where}", file=sys.stderr)
        return 0
    folder = RunFolder(run.workdir)
    if not (folder.report_page.exists() and folder.report_html.exists()):
        reports.write_report(run.workdir, run.model, run.answered)
    if not folder.card.exists():
        reports.write_card(run.workdir)
    print(reports.export_table(run.report))
    print(f"\nreport: {visible(folder.report_html)}", file=sys.stderr)
    if advice := reports.next_table(run.report):
        print(f"\n{advice}", file=sys.stderr)
    return 0 if run.ok else 1


def _dry_run(recipe, args) -> int:
    """Prints the plan, and where each field of the recipe comes from; draws the first images."""
    from keras_vit import recipes, reports, training

    dry = training.dry_run(recipe, options=_options(args))
    path = _free_name(Path(args.workdir or "."))
    reports.draw_samples(path, dry.images, dry.labels, dry.plan.images.classes)
    print(visible_lines(dry.text))
    print(f"samples   {visible(path)}\n")
    named = _named_recipe(args)
    filled_in = ("images", dry.plan.recipe)  # and the checkpoint
    _print_fields(recipes.explain(named, *_changes(args).steps(named), filled_in), args.all)
    return 0


def _free_name(folder: Path) -> Path:
    """`samples.jpg`, or the first of `samples-1.jpg` ... that is not there yet."""
    names = (f"samples{f'-{i}' if i else ''}.jpg" for i in range(1000))
    return next(folder / name for name in names if not (folder / name).exists())


def _print_fields(rows, every: bool) -> None:
    from keras_vit.reports.tables import aligned

    shown = rows if every else [row for row in rows if row[2] != "default"]
    print("\n".join(aligned([("field", "value", "from"), *shown])))
    if len(shown) < len(rows):
        print(f"\n{len(rows) - len(shown)} fields have their defaults; --all shows them too")


def _duration(text: str) -> int:
    """Seconds of "90s", "20m", "2h" or "1h30m"."""
    if not re.fullmatch(r"(\d+h)?(\d+m)?(\d+s)?", text) or not text:
        raise argparse.ArgumentTypeError(f"expected a time as 90s, 20m, 2h or 1h30m, not {text!r}")
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([hms])", text))


if __name__ == "__main__":
    run_script("train")
