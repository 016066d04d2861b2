"""What makes an image adversarial, beside what foolbox knows of."""

import eagerpy
import foolbox
import numpy as np


def others(scores, labels) -> np.ndarray:
    """Scores but those of the labels, which are minus infinity."""
    own = np.arange(scores.shape[1]) == np.reshape(labels, (-1, 1))
    return np.where(own, -np.inf, scores)


def contenders(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    """The labels' scores and the best other ones, both `(n,)`.

    Args:
        scores: float32 `(n, classes)`.
        labels: int64 `(n,)`.
    """
    own = np.take_along_axis(scores, np.reshape(labels, (-1, 1)), 1)[:, 0]
    return own, others(scores, labels).max(axis=1)


def lead(scores, labels) -> np.ndarray:
    """How far the best other class is ahead of the label: positive if fooled.

    Arguments as of `contenders`.
    """
    own, best_other = contenders(scores, labels)
    return best_other - own


class MarginMisclassification(foolbox.criteria.Misclassification):
    """Another class leads the label by more than a margin.

    As a criterion for attacks on a stand-in whose lead is known to differ from
    the real model's, or for adversarials that stay so on other hardware.

    Args:
        labels: integers `(n,)`.
        margins: of scores, float `(n,)`; below zero, the label may even lead.

    Raises:
        ValueError: margins are not finite numbers, one for each label.
    """

    def __init__(self, labels, margins):
        super().__init__(labels)
        self.margins = np.asarray(margins, np.float32)
        if self.margins.shape != (len(labels),):
            raise ValueError(
                f"margins must be ({len(labels)},), one for each label, got "
                f"{self.margins.shape}"
            )
        if not np.isfinite(self.margins).all():
            raise ValueError(f"margins must be finite, got {self.margins}")

    def __repr__(self):
        return f"{type(self).__name__}({self.labels!r}, {self.margins!r})"

    def __call__(self, perturbed, outputs):
        del perturbed
        scores, restore = eagerpy.astensor_(outputs)
        leads = lead(scores.numpy(), self.labels.numpy())
        return restore(eagerpy.from_numpy(scores, leads > self.margins))
