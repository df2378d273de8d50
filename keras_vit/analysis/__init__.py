# SPDX-License-Identifier: MIT
"""What a model looks at, what speaks for its answer, and what it paints."""

from keras_vit.analysis.attention import attention_distance as attention_distance
from keras_vit.analysis.attention import attention_entropy as attention_entropy
from keras_vit.analysis.attention import attention_maps as attention_maps
from keras_vit.analysis.attention import attention_of_the_output as attention_of_the_output
from keras_vit.analysis.attention import heads_of_the_output as heads_of_the_output
from keras_vit.analysis.attention import rollout as rollout
from keras_vit.analysis.attention import rollout_of_the_output as rollout_of_the_output
from keras_vit.analysis.exam import Grade as Grade
from keras_vit.analysis.exam import examine as examine
from keras_vit.analysis.exam import pointing as pointing
from keras_vit.analysis.explanations import explain as explain
from keras_vit.analysis.reconstruction import reconstruct as reconstruct
from keras_vit.analysis.registers import Moved as Moved
from keras_vit.analysis.registers import Neuron as Neuron
from keras_vit.analysis.registers import move_to_register as move_to_register
from keras_vit.analysis.registers import register_neurons as register_neurons
from keras_vit.analysis.tokens import artefacts as artefacts
from keras_vit.analysis.tokens import effective_rank as effective_rank
from keras_vit.analysis.tokens import patch_filters as patch_filters
from keras_vit.analysis.tokens import position_similarity as position_similarity
from keras_vit.analysis.tokens import token_norms as token_norms
from keras_vit.analysis.tokens import token_similarity as token_similarity
from keras_vit.config.costs import LayerCost as LayerCost
from keras_vit.config.costs import layer_costs as layer_costs
