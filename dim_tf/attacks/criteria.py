"""What makes an image adversarial, beside what foolbox knows of."""

import eagerpy
import foolbox
import numpy as np
import tensorflow as tf

from dim_tf.scores import lead


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
        if not isinstance(labels, eagerpy.Tensor | tf.Tensor):
            labels = np.asarray(labels)
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
