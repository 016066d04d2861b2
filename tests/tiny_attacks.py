"""Attacks whose outcome is plain to see, and what to run them on."""

from typing import ClassVar

import numpy as np
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from tiny_nets import foolbox_model

from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.minimization import Minimization

COUNT = 6


@frozen
class Noise(FixedEpsilon):
    """Uniform noise of size epsilon."""

    norm: ClassVar[str] = "linf"

    def perturb(self, problem, epsilon, prepared):
        drawn = splitmix.uniform(problem.seeds, problem.pixels)
        return problem.clip(problem.images + epsilon * (2.0 * drawn - 1.0))


@frozen
class Brighten(FixedEpsilon):
    """Every pixel brighter by epsilon; of targets it knows nothing."""

    norm: ClassVar[str] = "linf"
    supports_targets: ClassVar[bool] = False

    def prepare(self, problem):
        return {"room": problem.bounds[1] - problem.images}

    def perturb(self, problem, epsilon, prepared):
        return problem.images + tf.minimum(epsilon, prepared["room"])


@frozen
class Replace(Minimization):
    """The first pixels all white."""

    norm: str = "l2"
    supports_starting_points: ClassVar[bool] = True
    pixels: int = PIXELS

    def start(self, problem, rows):
        first = tf.range(problem.pixels) < self.pixels
        return {
            "active": tf.zeros((problem.batch,), tf.bool),
            "result": tf.where(
                first,
                problem.bounds[1],
                rows.get("starting_points", problem.images),
            ),
        }


class Fragile:
    """A linear model and images that some noise changes the class of."""

    def __init__(self):
        generator = np.random.default_rng(0)
        weights = generator.normal(size=(PIXELS, 3)).astype(np.float32)
        images = generator.uniform(0.3, 0.7, (COUNT, *SHAPE))
        self.weights = weights
        self.images = tf.constant(images, tf.float32)
        self.labels = tf.argmax(self(self.images), 1)

    def __call__(self, images):
        return (tf.reshape(images, (-1, PIXELS)) - 0.5) @ self.weights


def above(lower, upper=2.0):
    """Class 1 where the mean brightness lies between these, else 0."""

    def score(images):
        brightness = tf.reduce_mean(images, (1, 2, 3))
        inside = (brightness > lower) & (brightness < upper)
        second = tf.where(inside, 1.0, -1.0) + 0.0 * brightness
        return tf.stack([tf.zeros_like(second), second], 1)

    return foolbox_model(score)
