# SPDX-License-Identifier: MIT
"""tf.data: from the index of an example to batches that a model is trained and measured on."""
