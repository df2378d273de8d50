# SPDX-License-Identifier: MIT
"""The process of `keras_vit.export.gpu`: one file, on a GPU.

Says `{"reason": null}` on standard output when it ran, or why it did not.
"""

import json
import sys

import numpy as np

from keras_vit.export.runner import dequantized, quantized


def main(path: str = "", images: str = "", result: str = "") -> None:
    """Runs a file on the images of an `.npy` file, and saves the logits of two runs.

    Args:
        path: a `.tflite` file; without, a sum of two numbers
            tells whether there is a device.
        images: the `.npy` file to read.
        result: the `.npy` file to write.
    """
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.gpu_options import GpuOptions
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import Options

    # A phone computes in float16; what that does is `keras_vit.export.half`'s to say.
    options = Options(HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=True))
    try:
        if path:
            model = CompiledModel.from_file(path, options=options)
        else:
            model = CompiledModel.from_buffer(_sum_of_two(), options=options)
    except RuntimeError as error:  # no device, or an operator that it does not take
        print(json.dumps({"reason": str(error).strip().splitlines()[-1].lstrip("└ ")}))
        return
    if not model.is_fully_accelerated():
        print(json.dumps({"reason": "a part of it would run on the CPU"}))
        return
    if path:
        np.save(result, np.stack([_logits(model, path, np.load(images)) for _ in range(2)]))
    print(json.dumps({"reason": None}))


def _logits(model, path: str, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)  # which knows the scales of integers
    (entry,) = interpreter.get_input_details()
    details = interpreter.get_output_details()
    # Attention may be an output too, of rank four.
    place = next(i for i, output in enumerate(details) if len(output["shape"]) == 2)
    result, size = details[place], entry["shape"][0]
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    found = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        full = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        inputs[0].write(np.ascontiguousarray(quantized(full, entry)))
        model.run_by_index(0, inputs, outputs)
        numbers = outputs[place].read(int(np.prod(result["shape"])), np.dtype(result["dtype"]))
        values = np.asarray(numbers).reshape(result["shape"])[: len(batch)]
        found.append(dequantized(values, result))
    return np.concatenate(found)


def _sum_of_two() -> bytes:
    """A LiteRT file that adds four numbers to themselves."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.operatorCodes = 3, [schema.OperatorCodeT()]
    model.buffers, model.subgraphs = [schema.BufferT()], [schema.SubGraphT()]
    step, graph, tensors = schema.OperatorT(), model.subgraphs[0], []
    for name in (b"x", b"y"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, [1, 1, 1, 4]
        tensors.append(tensor)
    step.inputs, step.outputs = [0, 0], [1]  # of operator 0, ADD
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [1], [step]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    main(*sys.argv[1:])
