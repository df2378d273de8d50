# SPDX-License-Identifier: MIT
"""The process of a peer that `benchmarks/export/latency.py` times.

    python benchmarks/export/peers.py KIND SETTINGS

Speaks the protocol of `keras_vit.export.worker_process`. A peer gets the pixels in its own layout
before the clock runs. FILE is the model: of OpenVINO and ONNX Runtime the .onnx file, of torch a
.json file with the fields of its `ViTConfig`.
"""

import json
import sys
from pathlib import Path

KIND = sys.argv.pop(1)  # what is left is the command line of a worker
from keras_vit.export.worker_process import serve  # noqa: E402, I001 (sets numbers of threads)
from keras_vit.errors import UserError  # noqa: E402

import numpy as np  # noqa: E402


def openvino(precision: str):
    """OpenVINO on a static graph, one stream."""

    def open_model(path, threads):
        import openvino

        core = openvino.Core()
        # The cores are chosen already; OpenVINO would look for free ones.
        hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        hints |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}

        def request(batch):
            model = core.read_model(path)
            model.reshape([batch, *model.input(0).get_partial_shape()[1:]])
            compiled = core.compile_model(model, "CPU", hints)
            found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
            if found != precision:
                raise UserError(
                    f"asked for {precision}, OpenVINO {openvino.__version__} computes in {found} "
                    "on this CPU"
                )
            return compiled.create_infer_request()

        requests = {1: request(1)}

        def run(pixels):
            batch = len(pixels)
            requests[batch] = requests.get(batch) or request(batch)
            return requests[batch].infer([pixels], share_inputs=True)[0]

        return run

    return open_model


def onnxruntime(path, threads):
    """ONNX Runtime on timm's graph, which takes one image."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options)
    (entry,) = session.get_inputs()

    images_of = _timm_images()
    return lambda pixels: session.run(None, {entry.name: images_of(pixels)})[0]


def torch_compile(frozen: bool):
    """timm's model under `torch.compile`."""

    def open_model(path, threads):
        import torch
        import torch._inductor.config

        from keras_vit import ViTConfig
        from keras_vit.weights.parity.timm_reference import timm_model

        torch.set_num_threads(threads)
        torch._inductor.config.freezing = frozen  # weights become constants, packed in advance
        config = ViTConfig.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        model = torch.compile(timm_model(config).eval())
        images_of = _timm_images()

        @torch.inference_mode()
        def run(pixels):
            return model(torch.from_numpy(images_of(pixels)))

        return run

    return open_model


def _timm_images():
    """From pixels to what timm's models take; the same for every call with so many pixels."""
    known = {}

    def images_of(pixels):
        if len(pixels) not in known:
            images = (pixels / 127.5 - 1).transpose(0, 3, 1, 2)
            known[len(pixels)] = np.ascontiguousarray(images, "float32")
        return known[len(pixels)]

    return images_of


KINDS = {
    "onnxruntime": onnxruntime,
    "openvino": openvino("f32"),
    "openvino_bfloat16": openvino("bf16"),
    "torch_compile": torch_compile(frozen=False),
    "torch_compile_frozen": torch_compile(frozen=True),
}

if __name__ == "__main__":
    serve(KINDS[KIND], writes=True)  # torch compiles
