# SPDX-License-Identifier: MIT
"""Images and labels: sources, decoding and the tf.data pipeline. Pixels stay in 0 to 255."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.data.by_name import audit_files as audit_files
    from keras_vit.data.by_name import load as load
    from keras_vit.data.checks.audit import Audit as Audit
    from keras_vit.data.checks.audit import Finding as Finding
    from keras_vit.data.dataset import Arrays as Arrays
    from keras_vit.data.dataset import Encoded as Encoded
    from keras_vit.data.dataset import Files as Files
    from keras_vit.data.dataset import ImageSet as ImageSet
    from keras_vit.data.dataset import Split as Split
    from keras_vit.data.images import read_image as read_image
    from keras_vit.data.pipeline.batches import evaluation_batches as evaluation_batches
    from keras_vit.data.pipeline.batches import training_batches as training_batches
    from keras_vit.data.sources.arrays import from_arrays as from_arrays
    from keras_vit.preprocessing import Preprocessing as Preprocessing

_HOME = {
    "Audit": "checks.audit",
    "Finding": "checks.audit",
    "audit_files": "by_name",
    "Arrays": "dataset",
    "Encoded": "dataset",
    "Files": "dataset",
    "ImageSet": "dataset",
    "Preprocessing": "dataset",
    "Split": "dataset",
    "read_image": "images",
    "evaluation_batches": "pipeline.batches",
    "training_batches": "pipeline.batches",
    "from_arrays": "sources.arrays",
    "load": "by_name",
}
if not TYPE_CHECKING:  # a type checker tells who misspells a name
    __getattr__, __dir__ = attributes(__name__, _HOME)  # the pipeline and TFDS bring TensorFlow
