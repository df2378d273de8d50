# SPDX-License-Identifier: MIT
"""Training pipelines at 224 pixels from JPEG files: this package, Keras' layers, timm.

    python benchmarks/pipeline.py FOLDER [--peer_python PYTHON] [--cores 1] [--only NAME ...]

Inception crop, flip and RandAugment(2, 15), batches of 64. FOLDER holds JPEG files at any depth;
400 of them are enlarged to 500 x 375 pixels (or to `--width`, and the fewer of them) with a little
noise, so that they are as many bytes as photographs are, and saved with quality 90 in a temporary
folder. Every contender is a process of its own on the same cores; they take turns, a few seconds
each, and are stopped in between, so that nobody fills a buffer while another one is measured. The
table has the medians.

timm runs in `--peer_python`, an interpreter with torch, torchvision and timm (extra `bench`), with
as many loader processes as cores; its RandAugment applies each operation with probability 0.5
unless told otherwise ("timm, p 1.0" is told), as uint8 batches, without normalisation.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_IMAGES, _BATCH, _SIDE = 400, 64, 224
_CONTENDERS = {
    "keras_vit": ("ours", {}),
    "keras_vit, as DeiT": ("ours", {"increasing": True, "op_prob": 0.5}),
    "keras.layers": ("keras_layers", {}),
    "timm": ("timm", {"policy": "rand-m15-n2"}),
    "timm, p 1.0": ("timm", {"policy": "rand-m15-n2-p1.0"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="JPEG files, at any depth")
    parser.add_argument("--peer_python", default=sys.executable, help="where timm is installed")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--width", type=int, default=500, help="of the images, in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument(
        "--only", nargs="+", choices=_CONTENDERS, default=[*_CONTENDERS], help="of the contenders"
    )
    parser.add_argument(
        "--contender", help=argparse.SUPPRESS
    )  # this script, in a process of its own
    args = parser.parse_args()
    if args.contender:
        _take_turns(args)
        return

    cores = sorted(os.sched_getaffinity(0))[-args.cores :]
    os.sched_setaffinity(0, cores)  # inherited by all
    with tempfile.TemporaryDirectory() as folder:
        _make_images(Path(args.folder), Path(folder), args.width)
        processes = {name: _start(name, folder, args) for name in args.only}
        turns = {name: [] for name in processes}
        for name, process in processes.items():
            if not process.stdout.readline():  # it is ready, or has written why not
                raise SystemExit(f"{name} did not start")
            os.killpg(process.pid, signal.SIGSTOP)
        for turn in range(args.rounds + 1):
            for name, process in processes.items():
                os.killpg(process.pid, signal.SIGCONT)
                process.stdin.write(f"{args.seconds}\n")
                process.stdin.flush()
                result = json.loads(process.stdout.readline())
                os.killpg(process.pid, signal.SIGSTOP)
                if turn:  # the first one empties the buffers that were filled before it
                    turns[name].append(result)
        for process in processes.values():
            os.killpg(process.pid, signal.SIGCONT)
            process.stdin.close()
            process.wait()
    _print_table(turns, args.cores)


def _make_images(source: Path, target: Path, width: int) -> None:
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    files, count = sorted(source.rglob("*.jpg")), _IMAGES * 500**2 // width**2
    for i, file in enumerate(files[:: max(1, len(files) // count)][:count]):
        small = Image.open(file).convert("RGB")
        pixels = np.asarray(small.resize((width, width * 3 // 4), 3), "float32")
        pixels = (pixels + random.normal(0, 6, pixels.shape)).clip(0, 255).astype("uint8")
        Image.fromarray(pixels).save(target / f"{i}.jpg", quality=90)


def _start(name: str, folder: str, args: argparse.Namespace) -> subprocess.Popen:
    python = args.peer_python if name.startswith("timm") else sys.executable
    command = [python, __file__, folder, "--contender", name, "--cores", str(args.cores)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=environment, start_new_session=True
    )


def _take_turns(args: argparse.Namespace) -> None:
    """A contender: runs for as many seconds as each line of standard input says."""
    kind, options = _CONTENDERS[args.contender]
    paths = sorted(map(str, Path(args.folder).glob("*.jpg")))
    batches = globals()[f"_{kind}"](paths, args.cores, **options)
    next(batches)
    print("ready", flush=True)
    for line in sys.stdin:
        wall, cpu, images = time.perf_counter(), _cpu_seconds(), 0
        while time.perf_counter() - wall < float(line):
            images += len(next(batches))
        wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
        print(json.dumps({"images_per_second": images / wall, "cpu_ms": 1e3 * cpu / images}))
        sys.stdout.flush()


def _cpu_seconds() -> float:
    """CPU time of this process and of its children that live, from /proc."""
    ticks, pending = 0, [os.getpid()]
    while pending:
        process = Path(f"/proc/{pending.pop()}")
        for task in (process / "task").iterdir():
            pending += map(int, (task / "children").read_text().split())
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # user and system
    return ticks / os.sysconf("SC_CLK_TCK")


def _ours(paths, cores, **options):
    import numpy as np

    from keras_vit.data.dataset import Files
    from keras_vit.data.pipeline.batches import training_batches
    from keras_vit.preprocessing import Preprocessing
    from keras_vit.recipes import Augmentation

    plan = Augmentation(
        crop="inception", flip=True, policy="randaugment", layers=2, magnitude=15, **options
    )
    count = len(paths)
    split = Files(np.zeros(count, int), paths, np.ones(count, "uint8"))
    batches, _ = training_batches(split, 2, Preprocessing((_SIDE, _SIDE)), _BATCH, 10**6, 0, plan)
    return (images for images, _ in batches)


def _keras_layers(paths, cores):
    """Keras acts on a batch at a time; its scale of magnitudes is 0 to 1."""
    import keras
    import tensorflow as tf

    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandAugment(value_range=(0, 255), num_ops=2, factor=1.0),
    ]
    crop = keras.layers.RandomCrop(_SIDE, _SIDE)

    def read(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return crop(tf.ensure_shape(image, (375, 500, 3)), training=True)

    def augment(images):
        for layer in layers:
            images = layer(images, training=True)
        return images

    data = tf.data.Dataset.from_tensor_slices(paths).repeat().shuffle(len(paths))
    data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH, drop_remainder=True)
    return iter(data.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2))


def _timm(paths, cores, policy):
    import torch
    from PIL import Image
    from timm.data import create_transform
    from timm.data.loader import fast_collate

    torch.set_num_threads(1)
    transform = create_transform(
        _SIDE, is_training=True, use_prefetcher=True, auto_augment=policy, color_jitter=None
    )

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return 10**6

        def __getitem__(self, index):
            return transform(Image.open(paths[index % len(paths)]).convert("RGB")), 0

    loader = torch.utils.data.DataLoader(
        Images(), _BATCH, num_workers=cores, collate_fn=fast_collate, drop_last=True
    )
    return (images for images, _ in loader)


def _print_table(turns: dict, cores: int) -> None:
    first = next(iter(turns))
    base = statistics.median(turn["cpu_ms"] for turn in turns[first])
    rows = [("", "images/s", "CPU ms/image", f"CPU of {first}")]
    for name, results in turns.items():
        speed = statistics.median(turn["images_per_second"] for turn in results)
        cpu = statistics.median(turn["cpu_ms"] for turn in results)
        rows.append((name, f"{speed:.0f}", f"{cpu:.2f}", f"{cpu / base:.2f} x"))
    print(f"{cores} core{'s' * (cores > 1)}, median of {len(turns[first])} turns")
    for row in rows:
        print(f"{row[0]:<20}{row[1]:>10}{row[2]:>15}{row[3]:>19}")


if __name__ == "__main__":
    main()
