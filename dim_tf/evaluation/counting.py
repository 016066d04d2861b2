"""Counts what an attack asks of a model, in images."""

import foolbox
import tensorflow as tf

from dim_tf.attacks.problem import passes_at_once


class Counter:
    """Forward and backward passes, in images, of models wrapped by it.

    Attributes:
        forwards: int64 variable, images that a model has seen.
        backwards: int64 variable, gradients taken for images: as many for an
            image as an attack takes of its scores.
    """

    def __init__(self):
        self.forwards = tf.Variable(0, dtype=tf.int64)
        self.backwards = tf.Variable(0, dtype=tf.int64)

    def wrap(self, model) -> foolbox.TensorFlowModel:
        """A foolbox model of `images -> scores` that counts."""

        @tf.custom_gradient
        def count(images):
            number = tf.shape(images, tf.int64)[0]
            self.forwards.assign_add(number)

            def backward(gradients, variables=()):
                self.backwards.assign_add(number * passes_at_once.get())
                return gradients, [None for _ in variables]

            return tf.identity(images), backward

        return foolbox.TensorFlowModel(
            lambda images: model(count(images)), (0.0, 1.0), device="/CPU:0"
        )

    def take(self) -> tuple[int, int]:
        """Forwards and backwards since the last call."""
        counts = int(self.forwards), int(self.backwards)
        self.forwards.assign(0)
        self.backwards.assign(0)
        return counts
