import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import DUAL_ORDER
from closed_forms import SHAPE
from closed_forms import check_budget
from closed_forms import linear
from tiny_nets import foolbox_model

from dim_tf.attacks.decaying_descent import LOSSES
from dim_tf.attacks.decaying_descent import DecayingDescentAttack

BALLS = ("l1", "l2", "linf")


def run(score, images, epsilons=0.1, **settings):
    """Attacks class 0; returns adversarials and success in NumPy arrays."""
    settings = {"norm": "linf", "steps": 40, "loss": "margin", **settings}
    _, adversarials, success = DecayingDescentAttack(**settings)(
        foolbox_model(score),
        images,
        np.zeros(len(images), np.int64),
        epsilons=epsilons,
    )
    return np.asarray(adversarials), success.numpy()


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("loss", LOSSES)
def test_finds_what_the_closed_form_allows(norm, loss, weights, generator):
    images = generator.uniform(0.4, 0.6, (5, *SHAPE)).astype(np.float32)
    # Every image lies 0.05 from its plane, too near for its bounds to matter:
    # a distance is the score over the dual norm of the normal.
    optimum = 0.05
    lack = optimum * np.linalg.norm(weights, DUAL_ORDER[norm])
    score = linear(weights, images[0].ravel() @ weights + lack)
    activations = images.reshape(5, -1) @ weights
    images += np.reshape(
        (activations[0] - activations)[:, None]
        * (weights / (weights @ weights)),
        images.shape,
    )
    epsilons = [0.8 * optimum, 1.25 * optimum]
    adversarials, success = run(
        score, images, epsilons=epsilons, norm=norm, loss=loss
    )
    np.testing.assert_array_equal(success, [[False] * 5, [True] * 5])
    for epsilon, answer in zip(epsilons, adversarials, strict=True):
        check_budget(answer, images, norm, epsilon)


@pytest.mark.parametrize("norm", BALLS)
def test_stays_in_bounds_at_the_edges(norm, weights, generator):
    images = generator.choice([0.0, 1.0], (4, *SHAPE)).astype(np.float32)
    score = linear(weights, 100.0)
    adversarials, success = run(score, images, epsilons=0.9, norm=norm)
    assert not success.any()
    check_budget(adversarials, images, norm, 0.9)
    assert (adversarials != images).any()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_keeps_what_it_found(norm, weights):
    """Class 1 is a band that the gradient leads into and out of again."""
    images = np.full((5, *SHAPE), 0.5, np.float32)
    # Within an epsilon of 0.1 it goes from 0 to 1.
    scale = 0.1 * np.linalg.norm(weights, DUAL_ORDER[norm])
    climb = linear(weights / scale, images[0].ravel() @ weights / scale)
    # Some are nearer than others, so that not all stop at once.
    unit = scale * weights / (weights @ weights)
    images += np.outer(np.linspace(-0.4, 0.2, 5), unit).reshape(images.shape)

    def score(values):
        scores = climb(values)
        second = tf.abs(scores[:, 1:] - 0.5) < 0.2
        jumps = tf.cast(second, tf.float32) - 0.5 - scores[:, 1:]
        return scores + tf.stop_gradient(tf.pad(jumps, [[0, 0], [1, 0]]))

    adversarials, success = run(score, images, norm=norm)
    assert success.all()
    assert np.argmax(score(tf.constant(adversarials)), axis=1).all()


@pytest.mark.parametrize("norm", BALLS)
def test_steps_are_the_closed_form_on_a_linear_model(norm, weights):
    """From the first step's start on, all steps go the same way."""
    images = np.full((1, *SHAPE), 0.5, np.float32)
    score = linear(0.05 * weights, 2.0)
    direction = {
        "l1": weights / np.abs(weights).sum(),
        "l2": weights / np.linalg.norm(weights),
        "linf": np.sign(weights),
    }[norm]
    lengths = 0.1 + np.arange(4) / 4 * (0.001 - 0.1)
    # The first step is as long whatever their number; what it started from is
    # what is left without it.
    epsilon = 0.2
    first = run(score, images, epsilons=epsilon, norm=norm, steps=1)[0]
    start = np.ravel(first - images) - 0.1 * epsilon * direction
    expected = start
    order = {"l1": 1, "l2": 2, "linf": np.inf}[norm]
    for length in lengths:
        expected = expected + length * epsilon * direction
        size = np.linalg.norm(expected, order)
        if norm == "linf":
            expected = np.clip(expected, -epsilon, epsilon)
        else:
            expected = expected * min(1, epsilon / size)
    last = run(score, images, epsilons=epsilon, norm=norm, steps=4)[0]
    if norm != "linf":
        # The start may have met the sphere in the first step.
        assert np.linalg.norm(start, order) < epsilon
    np.testing.assert_allclose(np.ravel(last - images), expected, atol=1e-6)


@pytest.mark.parametrize("norm", BALLS)
def test_treats_every_image_by_itself(norm, weights, generator):
    images = generator.uniform(0.3, 0.7, (6, *SHAPE)).astype(np.float32)
    activations = images.reshape(6, -1) @ weights
    offset = activations.max() + 0.1
    dual = np.linalg.norm(weights, DUAL_ORDER[norm])
    optima = (offset - activations) / dual
    settings = {"norm": norm, "steps": 15}
    settings["epsilons"] = 1.2 * float(np.median(optima))
    score = linear(weights, offset)
    adversarials, success = run(score, images, **settings)
    assert 0 < success.sum() < 6
    for rows in ([4, 2, 5, 0, 3, 1], [0, 1], [2, 3, 4, 5]):
        part, part_success = run(score, images[rows], **settings)
        np.testing.assert_array_equal(part_success, success[rows])
        np.testing.assert_allclose(part, adversarials[rows], atol=1e-6)


def test_starts_where_the_seed_says(weights):
    images = np.full((1, *SHAPE), 0.5, np.float32)
    score = linear(weights, 100.0)
    first, again, other = (
        run(score, images, steps=1, seed=seed)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_targeted(weights, generator):
    images = generator.uniform(0.4, 0.6, (3, *SHAPE)).astype(np.float32)
    activations = images.reshape(3, -1) @ weights
    score = linear(weights, activations.min() - 0.2)
    for loss in LOSSES:
        _, _, success = DecayingDescentAttack(loss=loss)(
            foolbox_model(score),
            images,
            foolbox.criteria.TargetedMisclassification(tf.constant([0, 0, 1])),
            epsilons=[0.3],
        )
        np.testing.assert_array_equal(success, [[True, True, True]])


def test_xla_takes_the_same_steps(weights, generator):
    images = generator.uniform(0.3, 0.7, (3, *SHAPE)).astype(np.float32)
    score = linear(weights, np.max(images.reshape(3, -1) @ weights) + 1.0)
    plain = run(score, images, norm="l2", epsilons=0.3)
    compiled = run(score, images, norm="l2", epsilons=0.3, jit_compile=True)
    np.testing.assert_allclose(compiled[0], plain[0], atol=1e-5)
    np.testing.assert_array_equal(compiled[1], plain[1])


@pytest.mark.parametrize("norm", BALLS)
def test_nan_scores_are_no_success_and_spoil_no_neighbor(norm, generator):
    images = generator.uniform(0.1, 0.9, (3, *SHAPE)).astype(np.float32)
    images[1, 0, 0, 0] = 0.0
    # Class 1 is all but black; what was black becomes no number.
    reachable = linear(np.ones(36, np.float32), 0.0)

    def score(values):
        spoiled = values[:, 0, 0, 0, None] < 0.05
        return tf.where(spoiled, np.nan, reachable(values))

    adversarials, success = run(score, images, epsilons=0.04, norm=norm)
    assert list(success) == [True, False, True]
    check_budget(adversarials, images, norm, 0.04)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "l0"}, "norm must be one of l1, l2, linf, got 'l0'"),
        (
            {"loss": "hinge"},
            "loss must be one of log_odds, cross_entropy, margin, got",
        ),
        ({"steps": 0}, "steps must be at least 1"),
    ],
    ids=str,
)
def test_misuse_is_told(settings, message):
    with pytest.raises(ValueError, match=message):
        DecayingDescentAttack(**settings)
