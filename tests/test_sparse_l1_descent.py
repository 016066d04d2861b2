import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import linear
from closed_forms import sizes
from tiny_nets import TinyNet
from tiny_nets import foolbox_model

from dim_tf.attacks.gradient_descent import SparseL1DescentAttack

FOOLBOX = foolbox.attacks.SparseL1DescentAttack


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize(("steps", "epsilon"), [(1, 3.0), (4, 3.0), (10, 8.0)])
def test_steps_are_foolboxs_of_a_sample_alone(quantile, steps, epsilon):
    net = TinyNet(5)
    model = foolbox_model(net)
    settings = {"quantile": quantile, "steps": steps}
    ours = SparseL1DescentAttack(projection="foolbox", **settings)
    outcome = ours(model, net.images, net.labels, epsilons=epsilon)
    for row in range(5):
        expected = FOOLBOX(**settings)(
            model,
            net.images[row : row + 1],
            net.labels[row : row + 1],
            epsilons=epsilon,
        )
        for found, wanted in zip(outcome, expected, strict=True):
            np.testing.assert_allclose(found[row], wanted[0], atol=1e-5)


def test_defaults_are_foolboxs():
    ours = SparseL1DescentAttack()
    for name, value in vars(FOOLBOX()).items():
        assert getattr(ours, name) == value, name


def test_raw_result_is_in_the_ball_of_exact_projection_only():
    net = TinyNet(6)
    model = foolbox_model(net)
    largest = {}
    for projection in ("exact", "foolbox"):
        attack = SparseL1DescentAttack(projection=projection, quantile=0.8)
        raw, clipped, _ = attack(model, net.images, net.labels, epsilons=3.0)
        largest[projection] = sizes("l1", raw - net.images).max()
        assert (sizes("l1", clipped - net.images) <= 3 * (1 + 2e-6)).all()
    assert largest["exact"] <= 3 * (1 + 2e-6)
    assert largest["foolbox"] > 3.01


@pytest.mark.parametrize(
    "criterion",
    [
        foolbox.criteria.Misclassification(tf.zeros(4, tf.int64)),
        foolbox.criteria.TargetedMisclassification(tf.ones(4, tf.int64)),
    ],
    ids=lambda criterion: type(criterion).__name__,
)
def test_closed_form_on_a_linear_model(criterion, weights, generator):
    """The largest weights' pixels move, alike and as long as they can."""
    images = generator.uniform(0.3, 0.7, (4, *SHAPE)).astype(np.float32)
    order = np.argsort(-np.abs(weights))
    # Already where the largest weight would move it to.
    flat = images.reshape(4, -1)
    flat[1, order[0]] = weights[order[0]] > 0
    # The largest 4 of 36.
    attack = SparseL1DescentAttack(quantile=(PIXELS - 4) / (PIXELS - 1))
    raw, _, success = attack(
        foolbox_model(linear(0.05 * weights, 2.0)),
        images,
        criterion,
        epsilons=0.8,
    )
    assert not success.numpy().any()
    change = np.reshape(raw - images, (4, -1))
    for row in range(4):
        moved = order[1:5] if row == 1 else order[:4]
        expected = np.zeros(PIXELS)
        expected[moved] = 0.2 * np.sign(weights[moved])
        np.testing.assert_allclose(change[row], expected, atol=1e-6)
