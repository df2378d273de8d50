# SPDX-License-Identifier: MIT
"""Images that several processes answer: each a part of them, and each has all answers.

`Model.predict` of Keras cannot answer in several processes of JAX, as none can address the devices
of another. Nothing has to: each computes by itself, and answers alone travel.
"""

import base64
import dataclasses
import importlib.util
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_vit.data.dataset import Split
from keras_vit.errors import UserError
from keras_vit.predictor import Prediction, Predictor
from keras_vit.training.agreement import heard, tell
from keras_vit.training.cluster import Cluster, cluster_of
from keras_vit.training.joining import join, leave

_PIECE = 1 << 20  # bytes that a message of the store carries at most


class Together:
    """The processes that the environment names (see `cluster_of`); this one alone if it names none.

    Made before anything is computed, and by all of them; `predictions` or `logits` is called once,
    after which they part.

    Raises:
        UserError: where JAX, by which they find each other, is not installed, and where they
            differ in their versions.
    """

    def __init__(self):
        self.cluster: Cluster = cluster_of()
        if self.cluster.count == 1:
            return
        if importlib.util.find_spec("jax") is None:
            raise UserError(
                f"{self.cluster.told_by}: {self.cluster.count} processes find each other by JAX, "
                "which is not installed: pip install jax, or start one process without it."
            )
        join(self.cluster)

    @property
    def leads(self) -> bool:
        """Whether this is the process that shows the answers, and writes."""
        return self.cluster.leads

    def check_alone(self, what: str) -> None:
        """Raises a `UserError` where there are several processes."""
        if self.cluster.count > 1:
            raise UserError(
                f"{what}: expected one process, and {self.cluster.told_by} names "
                f"{self.cluster.count}."
            )

    def predictions(
        self, predictor: Predictor, paths: Sequence[str], top_k: int | None
    ) -> Iterable[Prediction]:
        """What `Predictor.predict` yields, in each process."""
        if self.cluster.count == 1:
            return predictor.predict(paths, top_k)
        answers = predictor.predict([paths[i] for i in self._part(len(paths))], top_k)
        told = json.dumps([dataclasses.astuple(answer) for answer in answers])
        return _predictions(self._exchanged(told.encode()))

    def logits(self, predictor: Predictor, split: Split) -> np.ndarray:
        """What `Predictor.logits` returns, in each process.

        Raises:
            UserError: that of any process, in all of them.
        """
        if self.cluster.count == 1:
            return predictor.logits(split)
        classes, part = len(predictor.metadata.labels), self._part(len(split))
        logits = np.zeros((0, classes), "float32")
        try:
            if part:
                logits = predictor.logits(split.take(np.array(part)))
            told = b"+" + logits.astype("float32").tobytes()
        except UserError as error:
            told = b"-" + str(error).encode()
        parts = self._exchanged(told)
        for text in parts:
            if text.startswith(b"-"):
                raise UserError(text[1:].decode())
        return np.frombuffer(b"".join(text[1:] for text in parts), "float32").reshape(-1, classes)

    def _part(self, count: int) -> range:
        """Which of so many images this process answers: those of all are one after the other."""
        index, processes = self.cluster.index, self.cluster.count
        return range(count * index // processes, count * (index + 1) // processes)

    def _exchanged(self, told: bytes) -> list[bytes]:
        """What each process calls this with, in their order; then they part.

        By JAX's store: a collective would want devices in common, and those of CPUs (Gloo) write on
        standard output.
        """
        me, others = self.cluster.index, range(self.cluster.count)
        pieces = [told[i : i + _PIECE] for i in range(0, len(told), _PIECE)]
        for i, piece in enumerate(pieces):
            tell(f"answer {i}", me, base64.b64encode(piece).decode())
        tell("answers", me, str(len(pieces)))
        all_told = [told if other == me else _answer_of(other) for other in others]
        tell("end", me, "")
        for other in others:
            heard("end", other, "read the answers of all")
        leave()
        return all_told


def _answer_of(process: int) -> bytes:
    count = int(heard("answers", process, "answered all of its images"))
    pieces = (heard(f"answer {i}", process, "sent its answers") for i in range(count))
    return b"".join(map(base64.b64decode, pieces))


def _predictions(parts: Iterable[bytes]) -> Iterator[Prediction]:
    for part in parts:
        for path, classes, scores, error in json.loads(part):
            yield Prediction(path, tuple(classes), tuple(scores), error)
