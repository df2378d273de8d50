# SPDX-License-Identifier: MIT
"""Images and labels: sources, decoding and the tf.data pipeline. Pixels stay in 0 to 255."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.data.arrays import from_arrays as from_arrays
    from keras_vit.data.audit import Audit as Audit
    from keras_vit.data.audit import Finding as Finding
    from keras_vit.data.image_set import ImageSet as ImageSet
    from keras_vit.data.image_set import Split as Split
    from keras_vit.data.images import read_image as read_image
    from keras_vit.data.pipeline import evaluation_batches as evaluation_batches
    from keras_vit.data.pipeline import training_batches as training_batches
    from keras_vit.data.sources import audit_files as audit_files
    from keras_vit.data.sources import load as load

_HOME = {
    "Audit": "audit",
    "Finding": "audit",
    "audit_files": "sources",
    "ImageSet": "image_set",
    "Split": "image_set",
    "read_image": "images",
    "evaluation_batches": "pipeline",
    "training_batches": "pipeline",
    "from_arrays": "arrays",
    "load": "sources",
}
__getattr__, __dir__ = attributes(__name__, _HOME)  # the pipeline and TFDS bring TensorFlow
