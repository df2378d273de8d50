# SPDX-License-Identifier: MIT
"""Finds the first operator of a LiteRT file that a GPU computes otherwise than the CPU.

    eval "$(.ci/swiftshader gpu)"     # where the machine has no GPU: one in software
    python benchmarks/export/gpu_operators.py model.tflite

The graph is cut after each operator in turn, and what is left is run on both with the same random
pixels. The first large difference names the operator; those after it inherit the difference. A
rule for `keras_vit/export/lint.py` is then the smallest graph that shows it.
"""

import argparse
import sys
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.gpu_options import GpuOptions
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.options import Options

from keras_vit.export.graph import read_graph
from keras_vit.export.runner import quantized


def main(file: Path) -> None:
    content, random = file.read_bytes(), np.random.default_rng(0)
    print(f"{'':4}{'operator':20}{'of the largest number':>22}  shapes")
    for i, operator in enumerate(read_graph(file).operators):
        part = cut(content, i)
        interpreter = Interpreter(model_content=part)
        interpreter.allocate_tensors()
        entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        if i == 0:
            pixels = quantized(random.integers(0, 256, entry["shape"]).astype("float32"), entry)
        interpreter.set_tensor(entry["index"], pixels)
        interpreter.invoke()
        expected = interpreter.get_tensor(result["index"])
        shapes = [list(tensor.shape) for tensor in operator.inputs if tensor is not None]
        print(f"{i:<4}{operator.kind:20}{difference(part, pixels, expected):>22}  {shapes}")


def cut(content: bytes, last: int) -> bytes:
    """The file with the operators up to `last`, whose first output is the graph's."""
    model = schema.ModelT.InitFromPackedBuf(content)
    graph = model.subgraphs[0]
    graph.operators = graph.operators[: last + 1]
    graph.outputs, model.signatureDefs = graph.operators[last].outputs[:1], None
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def difference(part: bytes, pixels: np.ndarray, expected: np.ndarray) -> str:
    """Largest difference of the GPU, as a share of the largest number, or "refused"."""
    options = Options(HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=True))
    try:
        model = CompiledModel.from_buffer(part, options=options)
    except RuntimeError:
        return "refused"
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    inputs[0].write(np.ascontiguousarray(pixels))
    model.run_by_index(0, inputs, outputs)
    found = np.asarray(outputs[0].read(expected.size, expected.dtype)).reshape(expected.shape)
    found, expected = found.astype("float64"), expected.astype("float64")
    return f"{np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-9):.1e}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    sys.exit(main(parser.parse_args().file))
