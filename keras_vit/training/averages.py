# SPDX-License-Identifier: MIT
"""The average of the weights takes their place while it is evaluated and saved."""

import keras


class SwapAverages(keras.callbacks.SwapEMAWeights):
    """Swaps at each validation and epoch end as Keras does, but without rounding.

    On TensorFlow, Keras swaps by adding and subtracting, which moves weights in their last bits;
    here values are copied, on every backend.
    """

    def __init__(self):
        super().__init__(swap_on_epoch=True)

    def _tf_swap_variables(self, optimizer):
        self._backend_swap_variables(optimizer)

    def put_back(self):
        """Leaves the weights themselves in the model."""
        if self._ema_weights_in_model:
            self._swap_variables()
            self._ema_weights_in_model = False
