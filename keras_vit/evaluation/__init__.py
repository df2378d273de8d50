# SPDX-License-Identifier: MIT
"""What a set of predictions is worth. NumPy alone."""

from keras_vit.evaluation.calibration import Reliability as Reliability
from keras_vit.evaluation.calibration import reliability as reliability
from keras_vit.evaluation.classification import ClassScores as ClassScores
from keras_vit.evaluation.classification import Confusion as Confusion
from keras_vit.evaluation.classification import class_scores as class_scores
from keras_vit.evaluation.classification import confusion_matrix as confusion_matrix
from keras_vit.evaluation.classification import most_confused as most_confused
from keras_vit.evaluation.classification import predicted_classes as predicted_classes
from keras_vit.evaluation.imagenet import class_places as class_places
from keras_vit.evaluation.imagenet import real_accuracy as real_accuracy
from keras_vit.evaluation.imagenet import real_labels as real_labels
from keras_vit.evaluation.metrics import sigmoid as sigmoid
from keras_vit.evaluation.metrics import softmax as softmax
from keras_vit.evaluation.metrics import top_k_accuracy as top_k_accuracy
from keras_vit.evaluation.metrics import wilson_interval as wilson_interval
from keras_vit.evaluation.multilabel import average_precision as average_precision
from keras_vit.evaluation.multilabel import mean_average_precision as mean_average_precision
from keras_vit.evaluation.multilabel import summarize_multilabel as summarize_multilabel
from keras_vit.evaluation.probes import few_shot_accuracy as few_shot_accuracy
from keras_vit.evaluation.probes import knn_accuracy as knn_accuracy
from keras_vit.evaluation.probes import ridge_scores as ridge_scores
from keras_vit.evaluation.summary import headline as headline
from keras_vit.evaluation.summary import summarize as summarize
