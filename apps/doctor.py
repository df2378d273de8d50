# SPDX-License-Identifier: MIT
"""Show what matters of this machine: versions, devices, CPU features, disk.

examples:
  keras-vit doctor
"""

from keras_vit.apps.cli import import_keras, run_script


def add_flags(parser):
    del parser  # there are none


def main(args) -> int:
    from keras_vit import __version__, hardware

    facts = hardware.environment()
    rows = {
        "keras_vit": __version__,
        "python": facts["python"],
        **{name: hardware.installed(name) or "not installed" for name in hardware.PACKAGES},
        "keras backend": facts["keras_backend"],
        "system": facts["system"],
        "cpu": f"{facts['cpu']}, {facts['cores']} cores usable",
        "cpu features": " ".join(facts["cpu_features"]) or "none of note",
        "free disk here": f"{hardware.free_disk_bytes() / 1e9:.1f} GB",
    }
    import_keras()
    from keras_vit.config import ViTConfig
    from keras_vit.export.gpu import find_gpu
    from keras_vit.training.cluster import cluster_of
    from keras_vit.training.distribution import device_names, engines, gpu_names
    from keras_vit.training.precision import choose_precision

    rows["gpu of LiteRT"] = find_gpu() or "none (no Vulkan device)"
    rows["gpus"] = ", ".join(gpu_names()) or "none"
    rows["devices"] = ", ".join(device_names())
    rows |= engines(facts["keras_backend"], cluster_of())
    precision = choose_precision("auto", ViTConfig.of("B/16"), 32)
    rows["precision"] = f"{precision} where a recipe says auto (B/16)"
    for name, value in rows.items():
        print(f"{name:<30}{value}")
    return 0


if __name__ == "__main__":
    run_script("doctor")
