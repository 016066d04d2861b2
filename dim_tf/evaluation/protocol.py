"""What an attack is worth: the distances of verified adversarials."""

import dataclasses

import foolbox
import keras
import numpy as np
import tensorflow as tf

from dim_tf import data
from dim_tf import metrics
from dim_tf.evaluation.distances import distances

# Rounding of float32 that a distance may exceed an epsilon by.
TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The closest adversarial that an attack found for each sample.

    Attributes:
        distances: float64 `(n,)`; 0 for a misclassified image, infinite where
            the attack failed.
        adversarials: float32 like the images; the image itself where there is
            none.
    """

    distances: np.ndarray
    adversarials: np.ndarray

    @property
    def median_distance(self) -> float:
        """Over all samples, failures and misclassified ones included."""
        return float(np.median(self.distances))

    def robust_accuracy(self, epsilon: float) -> float:
        """Share of samples without an adversarial within epsilon."""
        return float(np.mean(self.distances > epsilon * (1 + TOLERANCE)))


def foolbox_model(model: keras.Model) -> foolbox.TensorFlowModel:
    """A classifier of images in [0, 1] as foolbox wants it."""
    device = "/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"
    return foolbox.TensorFlowModel(model, bounds=(0, 1), device=device)


def attacked(model: keras.Model, examples: data.Examples) -> np.ndarray:
    """Positions of the examples that are worth an attack: int64 `(k,)`.

    Args:
        model: images -> dict with `scores`.
        examples: of which those that are misclassified anyway are left out.
    """
    predictions = metrics.predictions(model, examples.images)
    return np.flatnonzero(predictions == examples.labels)


def verify(
    model: keras.Model,
    norm: str,
    examples: data.Examples,
    positions: np.ndarray,
    tries,
) -> Outcome:
    """Looks at what an attack came back with; its own word counts for nothing.

    Args:
        model: images -> dict with `scores`; judges.
        norm: in which distances are measured.
        examples: all samples.
        positions: which of them were attacked.
        tries: arrays `(len(positions), 28, 28, 1)`, an attack's answers, such
            as one for every epsilon; the closest adversarial one counts.

    Raises:
        ValueError: an answer is not finite or out of [0, 1].
    """
    found = np.zeros(len(examples))
    found[positions] = np.inf
    adversarials = examples.images.copy()
    images, labels = examples.images[positions], examples.labels[positions]
    for answer in tries:
        answer = np.asarray(answer)
        # Clipping to an epsilon can leave the bounds by a rounding.
        tried = np.clip(answer, 0.0, 1.0)
        if not np.allclose(tried, answer, rtol=0, atol=TOLERANCE):
            raise ValueError(
                "an attack answered with pixels that are not in [0, 1]"
            )
        predictions = metrics.predictions(model, tried)
        fooled = (predictions != labels) & (predictions >= 0)
        sizes = np.where(fooled, distances(norm, images, tried), np.inf)
        closer = sizes < found[positions]
        found[positions[closer]] = sizes[closer]
        adversarials[positions[closer]] = tried[closer]
    return Outcome(found, adversarials)
