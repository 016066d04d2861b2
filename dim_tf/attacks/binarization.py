"""What a threshold on the input hides from attacks."""

from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import Flexible
from dim_tf.attacks.graphs import done

# Of the bounds' range, between a threshold and pixels that are surely beyond.
_GAP = 1e-5


@frozen
class BinarizationRefinementAttack(Flexible):
    """Moves an adversarial closer, as far as a binarizing model cannot tell.

    Such a model sees of a pixel the side of the threshold that it is on. Pixels
    on the image's own side go back to the image, all others to the threshold:
    none of the images that the model takes for the starting point is closer,
    in any norm. Where what comes of it is not adversarial, as the model does
    something else, the answer is the starting point; foolbox raises an error
    for the whole batch. A misclassified image is its own answer.

    Attributes:
        threshold: of a pixel; None: half-way between the model's bounds.
        included_in: the side that the threshold itself is on, `upper` (as in
            `layers.Binarize`) or `lower`.

    Raises:
        ValueError: another `included_in`, a threshold that is no number, or a
            call without `starting_points`.

    Source: Schott et al., "Towards the first adversarially robust neural
    network model on MNIST" (2019), whose released code does this to all that
    its attacks find on binary models; foolbox.
    """

    supports_starting_points: ClassVar[bool] = True
    threshold: float | None = None
    included_in: str = "upper"

    def __post_init__(self):
        super().__post_init__()
        if self.included_in not in ("lower", "upper"):
            raise ValueError(
                "included_in must be 'lower' or 'upper', got "
                f"{self.included_in!r}"
            )
        if self.threshold is not None and not np.isfinite(self.threshold):
            raise ValueError(
                f"threshold must be a finite number, got {self.threshold}"
            )

    def solve(self, samples, epsilons):
        if "starting_points" not in samples.rows:
            raise ValueError(
                "BinarizationRefinementAttack refines adversarials; give it "
                "some as starting_points"
            )
        return super().solve(samples, epsilons)

    def start(self, problem, rows):
        images, answer = problem.images, rows["starting_points"]
        for better in (*self._refined(problem, answer), images):
            good = problem.fooled_by(better)
            answer = tf.where(good[:, None], better, answer)
        return done(problem, answer)

    def _refined(self, problem, given):
        """What may be the answer, the closest one last."""
        middle = sum(problem.bounds) / 2
        edge = np.float32(middle if self.threshold is None else self.threshold)
        beyond = tf.greater_equal if self.included_in == "upper" else tf.greater
        upper = beyond(given, edge)
        turned = upper != beyond(problem.images, edge)
        # A model that scales its input first may round the closest away.
        for gap in (np.float32(_GAP * problem.range), np.float32(0)):
            above, below = self._sides(edge, gap)
            nearest = tf.where(
                upper, tf.minimum(given, above), tf.maximum(given, below)
            )
            yield tf.where(turned, nearest, problem.images)

    def _sides(self, edge, gap) -> tuple[np.float32, np.float32]:
        """The least value on the upper side, and the largest on the lower."""
        if self.included_in == "upper":
            below = np.nextafter(edge, np.float32(-np.inf))
            return edge + gap, below - gap
        return np.nextafter(edge, np.float32(np.inf)) + gap, edge - gap
