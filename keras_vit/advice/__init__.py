# SPDX-License-Identifier: MIT
"""What a run's own numbers say should be done next."""

from keras_vit.advice.advise import advise as advise
from keras_vit.advice.facts import Advice as Advice
from keras_vit.advice.facts import RunFacts as RunFacts
