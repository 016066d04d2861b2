"""Models whose smallest adversarial perturbations can be written down."""

import foolbox
import numpy as np
import tensorflow as tf

SHAPE = (6, 6, 1)
PIXELS = 36


def sizes(norm, perturbations):
    """Sizes of flattened perturbations, written apart from the library."""
    flat = np.reshape(perturbations, (len(perturbations), -1))
    order = {"l0": 0, "l1": 1, "l2": 2, "linf": np.inf}[norm]
    return np.linalg.norm(flat, order, axis=1)


def linear(weights, offset, view=lambda images: images):
    """Scores (0, weights . images - offset): class 1 above the offset."""

    def score(images):
        flat = tf.reshape(view(images), (-1, PIXELS))
        second = tf.reduce_sum(flat * weights, 1) - offset
        return tf.stack([tf.zeros_like(second), second], 1)

    return score


def check_budget(adversarials, images, norm, epsilon):
    assert (sizes(norm, adversarials - images) <= epsilon + 1e-6).all()
    assert adversarials.min() >= 0
    assert adversarials.max() <= 1


def constant(images):
    """Always class 0."""
    return tf.tile([[1.0, 0.0]], (tf.shape(images)[0], 1))


def flat(images):
    """Class 0 with a gradient that is connected but zero."""
    return linear(np.zeros(PIXELS, np.float32), 1.0)(images)


def not_a_number(images):
    return linear(np.ones(PIXELS, np.float32), 0.0)(images) * np.nan


DUAL_ORDER = {"l1": np.inf, "l2": 2, "linf": 1}


def sizes_over_optimum(attack):
    """What a minimization attack finds, in distances to a linear plane."""
    weights = np.linspace(-1, 1, PIXELS).astype(np.float32)
    generator = np.random.default_rng(0)
    images = generator.uniform(0.45, 0.55, (8, *SHAPE)).astype(np.float32)
    lacks = images.reshape(8, -1) @ weights
    offset = lacks.max() + 0.2
    optimum = (offset - lacks) / np.linalg.norm(
        weights, DUAL_ORDER[attack.norm]
    )
    model = foolbox.TensorFlowModel(
        linear(weights, offset), (0.0, 1.0), device="/CPU:0"
    )
    adversarials, _, success = attack(
        model, images, np.zeros(8, int), epsilons=None
    )
    assert success.numpy().all()
    return sizes(attack.norm, adversarials.numpy() - images) / optimum
