# SPDX-License-Identifier: MIT
"""The process of a peer that `benchmarks/export/latency.py` times.

    python benchmarks/export/peers.py KIND THREADS HEIGHT WIDTH CHANNELS FILE

Speaks the protocol of `keras_vit.export.latency_worker`. A peer gets the pixels in its own layout
before the clock runs. FILE is the model: of OpenVINO the .onnx file, of torch a .json file with the
fields of its `ViTConfig`.
"""

import json
import sys
from pathlib import Path

KIND = sys.argv.pop(1)  # what is left is the command line of a worker
from keras_vit.export.latency_worker import serve  # noqa: E402 (sets numbers of threads)


def openvino(precision: str):
    """OpenVINO on a static graph, one stream."""

    def open_model(path, threads):
        import openvino

        core = openvino.Core()
        # The cores are chosen already; OpenVINO would look for free ones.
        hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        hints |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
        requests = {}

        def run(pixels):
            if len(pixels) not in requests:
                model = core.read_model(path)
                model.reshape([*pixels.shape])
                compiled = core.compile_model(model, "CPU", hints)
                said = compiled.get_property("INFERENCE_PRECISION_HINT")
                print(f"asked for {precision}, computes in {said}", file=sys.stderr)
                if said.to_string() not in _SAME[precision]:
                    raise SystemExit(f"OpenVINO computes in {said} on this CPU")
                requests[len(pixels)] = compiled.create_infer_request()
            return requests[len(pixels)].infer([pixels], share_inputs=True)[0]

        return run

    return open_model


def torch(dtype: str, frozen: bool):
    """timm's model under `torch.compile`."""

    def open_model(path, threads):
        import torch
        import torch._inductor.config

        from keras_vit import ViTConfig
        from keras_vit.weights.references import timm_model

        torch.set_num_threads(threads)
        torch._inductor.config.freezing = frozen  # weights become constants, packed in advance
        config = ViTConfig.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        model = torch.compile(timm_model(config).eval().to(getattr(torch, dtype)))
        inputs = {}

        @torch.inference_mode()
        def run(pixels):
            if len(pixels) not in inputs:
                scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
                inputs[len(pixels)] = scaled.contiguous().to(getattr(torch, dtype))
            return model(inputs[len(pixels)])

        return run

    return open_model


_SAME = {"f32": ("f32", "float"), "bf16": ("bf16", "bfloat16")}
KINDS = {
    "openvino": openvino("f32"),
    "openvino_bfloat16": openvino("bf16"),
    "torch_compile": torch("float32", frozen=False),
    "torch_compile_frozen": torch("float32", frozen=True),
    "torch_compile_bfloat16": torch("bfloat16", frozen=False),
}

if __name__ == "__main__":
    serve(KINDS[KIND])
