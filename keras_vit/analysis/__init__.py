# SPDX-License-Identifier: MIT
"""What a model looks at, and what it paints."""

from keras_vit.analysis.attention import attention_maps as attention_maps
from keras_vit.analysis.attention import attention_of_the_output as attention_of_the_output
from keras_vit.analysis.reconstruction import reconstruct as reconstruct
