# SPDX-License-Identifier: MIT
"""What machine this is, from the standard library alone."""

import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("keras", "tensorflow", "jax", "torch", "ai-edge-litert", "tensorflow-datasets", "numpy")
# CPU instructions that decide how fast a Transformer runs.
NOTABLE_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
)
# Numbers of threads, as oneDNN, TensorFlow and XLA read them.
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC"),
)
_threads: int | None = None  # that this process is bound to


def cpu_flags() -> frozenset[str]:
    """Instruction-set flags of the CPU as Linux names them; empty on other systems."""
    return frozenset(_cpuinfo("flags").split())


def cpu_name() -> str:
    """The CPU's name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use (containers and `taskset` counted in)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that compute at a time: one for each usable core, or as `use_threads` says."""
    return _threads or usable_cores()


def use_threads(count: int | None) -> None:
    """Bounds the threads of all that computes in this process from here on.

    Args:
        count: of threads; None for as many as there are usable cores. TensorFlow and JAX take
            notice of it until they are imported.
    """
    global _threads
    _threads = count
    if count is not None:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))


def environment() -> dict:
    """Versions, system and CPU, as plain data for `env.json`."""
    return {
        "python": platform.python_version(),
        "executable": Path(sys.executable).name,
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "cpu_features": [flag for flag in NOTABLE_FLAGS if flag in cpu_flags()],
        "keras_backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "packages": {name: version for name in PACKAGES if (version := installed(name))},
    }


def installed(package: str) -> str | None:
    """Version of an installed package, or None; imports nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def free_disk_bytes(path: str | os.PathLike = ".") -> int:
    """Free bytes on the disk that holds `path`."""
    return shutil.disk_usage(path).free


def free_memory_bytes() -> int:
    """Memory that can be filled without swapping, containers counted in; 0 where unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line), 0)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = (group / "memory.current").read_text(encoding="ascii")
    except OSError:  # no container, or the first version of control groups
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - int(used)))


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
