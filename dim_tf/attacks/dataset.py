"""Images of a data set that are adversarial as they are."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from dim_tf import digests
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import Flexible
from dim_tf.attacks.graphs import done
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.samples import as_images
from dim_tf.scores import decided
from dim_tf.scores import lead


class _Fed(list):
    """Images and scores that records tell of by a digest."""

    def __repr__(self):
        return f"<{digests.of_arrays(itertools.chain.from_iterable(self))}>"


@frozen
class DatasetAttack(Flexible):
    """The closest of the images fed to it that the model takes for others.

    foolbox takes any such image, and in version 3.3.4 looks only among the
    first ones fed, as many as the batch has.

    Attributes:
        fed: images float32 `(count, pixels)` and scores `(count, classes)` of
            every call of `feed`.
    """

    # No part of the graphs: fed images get there as starting points.
    fed: list = dataclasses.field(default_factory=_Fed, compare=False)

    def feed(self, model, inputs):
        """Adds images to choose from.

        Args:
            model: foolbox model; its scores decide what is proposed.
            inputs: float `(count, ...)` within the model's bounds, few enough
                for one model call.

        Raises:
            ValueError: they are not.
        """
        images = as_images(inputs, model, "inputs")
        scores = np.asarray(model(tf.constant(images)), np.float32)
        self.fed.append((images.reshape(len(images), -1), scores))

    def solve(self, samples, epsilons):
        if not self.fed:
            raise ValueError(
                "DatasetAttack has no images to choose from; feed() it some"
            )
        images, scores = map(np.concatenate, zip(*self.fed, strict=True))
        if images.shape[1:] != samples.rows["images"].shape[1:]:
            raise ValueError(
                f"fed images have {images.shape[1]} values each, the inputs "
                f"{samples.rows['images'].shape[1]}"
            )
        known = decided(scores)
        images, scores = images[known], scores[known]
        starts = samples.rows["images"].numpy()
        classes = samples.rows["classes"].numpy()
        margins = samples.rows.get("margins", tf.zeros(len(starts))).numpy()
        for row, clean in enumerate(starts.copy()):
            ahead = lead(scores, np.full(len(scores), classes[row]))
            hit = ahead < 0 if samples.targeted else ahead > margins[row]
            good = images[hit]
            if len(good):
                sizes = NORMS[self.norm].size(good - clean)
                starts[row] = good[np.argmin(sizes)]
        rows = {**samples.rows, "starting_points": tf.constant(starts)}
        return super().solve(dataclasses.replace(samples, rows=rows), epsilons)

    def start(self, problem, rows):
        misclassified = problem.fooled_by(problem.images)
        result = tf.where(
            misclassified[:, None], problem.images, rows["starting_points"]
        )
        return done(problem, result)
