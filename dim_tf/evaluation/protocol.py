"""What an attack is worth: the distances of verified adversarials."""

import keras
import numpy as np

from dim_tf import data
from dim_tf import metrics
from dim_tf.evaluation.distances import distances
from dim_tf.scores import contenders
from dim_tf.scores import decided
from dim_tf.scores import lead
from dim_tf.scores import others

# Rounding of float32 that a pixel may be off by.
_PIXEL = 1e-6
# A lead of less, relative to the scores it is between, is one that the same
# model may not have in another batch, in its SavedModel or on another
# processor.
_LEAD = 4e-6
# What ends next to a boundary may be a rounding away from the right side, or
# more, where the attack searched on a cheaper view of the model.
_PUSHES = (1.0001, 1.001, 1.01, 1.05)


class Trial:
    """The closest adversarials so far; an attack's own word counts for nothing.

    Args:
        model: images -> dict with `scores`; judges.
        norm: in which distances are measured.
        examples: which the model classifies correctly.

    Attributes:
        distances: float64 `(n,)`, infinite where nothing was found.
        adversarials: float32 like the images; the image itself at first.
        predictions: int64 `(n,)`, what the model takes the adversarials for.
        moved: bool `(n,)`, whether any answer was not the image itself.
    """

    def __init__(self, model: keras.Model, norm: str, examples: data.Examples):
        self.model = model
        self.norm = norm
        self.examples = examples
        self.distances = np.full(len(examples), np.inf)
        self.adversarials = examples.images.copy()
        self.predictions = examples.labels.copy()
        self.moved = np.zeros(len(examples), bool)

    def consider(
        self, answers, rows=None, push: bool = False, ties: bool = False
    ) -> np.ndarray:
        """Looks at answers of an attack, and keeps those that are closer.

        Args:
            answers: images `(k, 28, 28, 1)`, adversarial or not.
            rows: of the samples that they belong to, int `(k,)`; None: all.
            push: whether one that is not adversarial is also looked at a
                little farther away, as much as rounding may have lost.
            ties: whether one that is as close as the last is kept.

        Returns:
            bool `(k,)`, which answers are adversarial, pushed or not: scores
            name another class, which leads by more than a rounding.

        Raises:
            ValueError: an answer is not finite or out of [0, 1].
        """
        rows = np.arange(len(self.examples)) if rows is None else rows
        images = self.examples.images[rows]
        tried = _checked(answers)
        if self.norm == "l0":
            # A change that no eye and no file format sees is none.
            tried = np.where(abs(tried - images) < _PIXEL, images, tried)
        moved = (tried != images).any((1, 2, 3))
        self.moved[rows] |= moved
        fooled = self._keep(rows, tried, ties)
        for factor in _PUSHES if push else ():
            left = np.flatnonzero(moved & ~fooled)
            if not len(left):
                break
            start = images[left]
            pushed = np.clip(start + factor * (tried[left] - start), 0.0, 1.0)
            fooled[left] = self._keep(rows[left], pushed)
        return fooled

    def _keep(self, rows, tried, ties=False):
        images, labels = self.examples.images[rows], self.examples.labels[rows]
        predictions, wrong = best_other(self.model, tried, labels)
        sizes = distances(self.norm, images, tried)
        known = self.distances[rows]
        closer = wrong & ((sizes < known) | (ties & (sizes == known)))
        self.distances[rows[closer]] = sizes[closer]
        self.adversarials[rows[closer]] = tried[closer]
        self.predictions[rows[closer]] = predictions[closer]
        return wrong


def doubtful_lead(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The largest lead over the labels that may be a rounding: `(n,)`.

    The two scores that a lead is between may have much in common, as
    logarithms of densities have. Others do not matter: that of a class that is
    masked out may be any number.

    Args:
        scores: float32 `(n, classes)`.
        labels: int64 `(n,)`.
    """
    sizes = np.abs(contenders(scores, labels))
    # Of minus infinity every lead is one.
    return _LEAD * np.where(np.isinf(sizes), 0.0, sizes).max(axis=0)


def best_other(model, images, labels) -> tuple[np.ndarray, np.ndarray]:
    """The best class other than the label's, and whether it surely leads.

    Args:
        model: images -> dict with `scores`.
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.

    Returns:
        Classes int64 `(n,)`, and bool `(n,)`: whether theirs leads over the
        label's score by more than a rounding.
    """
    scores = metrics.outputs(model, images, "scores")
    sure = lead(scores, labels) > doubtful_lead(scores, labels)
    return others(scores, labels).argmax(axis=1), sure & decided(scores)


def _checked(answers) -> np.ndarray:
    answers = np.asarray(answers)
    # Clipping to an epsilon can leave the bounds by a rounding.
    tried = np.clip(answers, 0.0, 1.0)
    if not np.allclose(tried, answers, rtol=0, atol=_PIXEL):
        raise ValueError(
            "an attack answered with pixels that are not in [0, 1]"
        )
    return tried
