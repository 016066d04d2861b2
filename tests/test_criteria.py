"""Adversarials that have to lead by a margin."""

import dataclasses

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import linear
from tiny_nets import foolbox_model

from dim_tf.attacks import MarginMisclassification
from dim_tf.attacks.spec import EPSILONS
from dim_tf.attacks.suite import AUTOATTACK
from dim_tf.attacks.suite import PAPER

MARGINS = np.array([0.5, 0.0, 0.5, -0.25], np.float32)
LABELS = np.zeros(4, np.int64)
WEIGHTS = np.linspace(0.5, 1.5, PIXELS, dtype=np.float32)
OFFSET = 12.0


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    return generator.uniform(0.1, 0.4, (4, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return foolbox_model(linear(WEIGHTS, OFFSET))


def short(attack):
    """An attack with fewer steps than the paper's, where it has many."""
    steps = getattr(attack, "steps", 0)
    return dataclasses.replace(attack, steps=50) if steps > 50 else attack


# One of each way to look: by gradients, decisions, steps and starting points.
@pytest.mark.parametrize(
    "name",
    [
        "l2_blended_uniform",
        "l2_boundary",
        "l2_brendel_bethge",
        "l2_carlini_wagner",
        "l2_ddn",
        "l2_rep_gauss",
        "linf_deepfool",
        "linf_pgd",
        "l0_pointwise_x10",
        "l1_sparse_descent",
        "l2_apgd_ce",
        "l2_fab_t",
        "l2_square",
        "linf_apgd_t",
        "l1_apgd_t",
        "l1_square",
    ],
)
def test_a_margin_moves_the_boundary(name, model, images):
    spec = {**PAPER, **AUTOATTACK}[name]
    spec = spec.including(EPSILONS[spec.norm][-1])
    epsilons = max(spec.epsilons, key=lambda epsilon: epsilon or 0.0)
    attack = short(spec.attack)
    _, found, success = attack(
        model,
        images,
        MarginMisclassification(LABELS, MARGINS),
        epsilons=epsilons,
    )
    offset = tf.Variable(OFFSET)
    moved = foolbox_model(linear(WEIGHTS, offset))
    for margin in np.unique(MARGINS):
        same = np.flatnonzero(MARGINS == margin)
        offset.assign(OFFSET + margin)
        _, expected, wanted = attack(
            moved, images[same], LABELS[same], epsilons=epsilons
        )
        np.testing.assert_array_equal(success.numpy()[same], wanted)
        np.testing.assert_allclose(found.numpy()[same], expected, atol=2e-4)


def test_margins_are_of_each_image(model, images):
    criterion = MarginMisclassification(LABELS, MARGINS)
    scores = tf.constant([[1.0, 1.25]] * 4)
    wrong = [False, True, False, True]
    np.testing.assert_array_equal(criterion(images, scores), wrong)
    plain = foolbox.criteria.Misclassification(tf.constant(LABELS))
    still = MarginMisclassification(tf.constant(LABELS), 0 * MARGINS)
    np.testing.assert_array_equal(still(images, scores), plain(images, scores))
    np.testing.assert_array_equal(scores, [[1.0, 1.25]] * 4)  # as they were
    assert "0.5" in repr(criterion)


@pytest.mark.parametrize(
    ("margins", "words"),
    [([0.0], "one for each label"), ([0.0, np.nan, 0.0, 0.0], "finite")],
)
def test_margins_that_are_none_are_refused(margins, words):
    with pytest.raises(ValueError, match=words):
        MarginMisclassification(LABELS, margins)
