# SPDX-License-Identifier: MIT
"""A SavedModel that is more than a classifier is not run, wherever in it the program stands."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_vit import UserError, vit
from keras_vit.data.pipeline.encoded import read_encoded
from keras_vit.export import Metadata, open_runner, to_saved_model
from keras_vit.export.saved_model_check import OPERATORS, SAVERS, check_saved_model
from tests.models.test_vit import tiny

SHAPE = (2, 2, 1)


def save(folder, compute, **objects):
    """A SavedModel whose signature computes `compute(module, pixels)`."""
    module = tf.Module()
    module.weights = tf.Variable(tf.ones((4, 3)))
    for name, value in objects.items():
        setattr(module, name, value)

    @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32, name="pixels")])
    def serve(pixels):
        return {"logits": compute(module, pixels)}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def logits(module, pixels):
    return tf.reshape(pixels, (-1, 4)) @ module.weights


def after(operator):
    """Logits that are computed once an operator has run."""

    def compute(module, pixels):
        with tf.control_dependencies([operator(module)]):
            return logits(module, pixels)

    return compute


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return save(tmp_path_factory.mktemp("honest") / "model", logits)


def edited(honest, folder, change):
    """A copy whose graph was changed by hand, as `tf.saved_model.save` would not write it."""
    shutil.copytree(honest, folder)
    proto = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    change(proto.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(proto.SerializeToString())
    return folder


def test_the_list_names_operators_of_tensorflow():
    assert set(dir(tf.raw_ops)) >= OPERATORS | SAVERS
    forbidden = ("File", "Py", "Send", "Recv", "Remote", "Summary", "Debug", "Print", "Collective")
    assert not [name for name in OPERATORS if any(word in name for word in forbidden)]


def test_what_this_package_writes_and_other_classifiers_pass(honest, tmp_path):
    metadata = Metadata("tiny", ("a", "b", "c"), (16, 24), 3)
    check_saved_model(to_saved_model(vit(tiny(depth=1)), tmp_path / "own", metadata, read_encoded))
    check_saved_model(honest)
    content = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64))
    table = tf.lookup.StaticHashTable(content, -1)
    with_table = save(
        tmp_path / "table",
        lambda m, x: logits(m, x) + tf.cast(m.table.lookup(tf.constant("a")), tf.float32),
        table=table,
    )
    check_saved_model(with_table)
    ones = np.ones((1, *SHAPE), "float32")
    np.testing.assert_array_equal(open_runner(with_table)(ones), [[5, 5, 5]])


def in_a_loop(module, pixels):
    (count,) = tf.while_loop(
        lambda i: i < 1, lambda i: i + 1 + tf.size(tf.io.read_file("x")), [tf.constant(0)]
    )
    return logits(module, pixels) + tf.cast(count, tf.float32)


def in_a_data_set(module, pixels):
    images = tf.data.TextLineDataset("x").map(tf.strings.length)
    return logits(module, pixels) + tf.cast(images.get_single_element(), tf.float32)


PROGRAMS = {
    "WriteFile": after(lambda module: tf.io.write_file("written", "x")),
    "ReadFile": in_a_loop,
    "TextLineDataset": in_a_data_set,
    "PrintV2": after(lambda module: tf.print("x", output_stream="file://written")),
    "PyFunc": lambda module, pixels: tf.numpy_function(lambda x: x, [pixels], tf.float32),
    "SaveV2": after(
        lambda module: tf.raw_ops.SaveV2(
            prefix="written", tensor_names=["a"], shape_and_slices=[""], tensors=[module.weights]
        )
    ),
    "RestoreV2": lambda module, pixels: (
        logits(module, pixels)
        + tf.raw_ops.RestoreV2(
            prefix="x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0]
    ),
}


# Three that hide in different places; the others are as easily found.
@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("WriteFile", "ReadFile", "TextLineDataset")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in PROGRAMS
    ],
)
def test_a_program_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "model", PROGRAMS[name])
    with pytest.raises(UserError, match=rf"has operators that no classifier needs: .*{name}"):
        open_runner(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_unsafe_runs_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "model", PROGRAMS["WriteFile"])
    open_runner(path, unsafe=True)(np.ones((1, *SHAPE)))
    assert (tmp_path / "written").read_text() == "x"


def test_a_file_of_the_graph_is_refused(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("a\nb\n")
    where = tf.lookup.TextFileIndex
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "vocabulary.txt"),
            tf.string,
            where.WHOLE_LINE,
            tf.int64,
            where.LINE_NUMBER,
        ),
        -1,
    )
    path = save(
        tmp_path / "model",
        lambda m, x: logits(m, x) + tf.cast(m.table.lookup(tf.constant("a")), tf.float32),
        table=table,
    )
    with pytest.raises(UserError, match="reads files of its own"):
        check_saved_model(path)


def test_a_function_does_not_hide_an_operator(honest, tmp_path):
    """One that is named like an operator would be taken for the function that it is not."""

    def name_it(graph):
        function = next(f for f in graph.graph_def.library.function if "serve" in f.signature.name)
        hidden = graph.graph_def.library.function.add()
        hidden.CopyFrom(function)
        hidden.signature.name = "WriteFile"
        function.node_def.add(name="w", op="WriteFile")

    with pytest.raises(UserError, match="no classifier needs: WriteFile"):
        check_saved_model(edited(honest, tmp_path / "model", name_it))


def test_what_runs_when_it_is_loaded_is_refused(honest, tmp_path):
    path = edited(honest, tmp_path / "old", lambda graph: graph.ClearField("object_graph_def"))
    with pytest.raises(UserError, match="is one of TensorFlow 1"):
        check_saved_model(path)
    path = edited(honest, tmp_path / "top", lambda g: g.graph_def.node.add(name="r", op="ReadFile"))
    with pytest.raises(UserError, match="no classifier needs: ReadFile"):
        check_saved_model(path)


def test_a_folder_of_other_things_is_refused(honest, tmp_path):
    shutil.copytree(honest, tmp_path / "link")
    variables = tmp_path / "link" / "variables" / "variables.index"
    variables.unlink()
    variables.symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"variables\.index: expected a file, received a symbolic"):
        check_saved_model(tmp_path / "link")
    shutil.copytree(honest, tmp_path / "cut")
    graph = tmp_path / "cut" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"saved_model\.pb: is no SavedModel that can be read"):
        check_saved_model(tmp_path / "cut")
