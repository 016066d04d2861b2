import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import linear
from tiny_nets import TinyNet

from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.problem import Problem
from dim_tf.evaluation import counting


def problem_of(scores_of, images, classes, targeted=False, bounds=(0.0, 1.0)):
    count = len(images)
    return Problem(
        images=tf.reshape(images, (count, -1)),
        classes=tf.constant(classes, tf.int64),
        seeds=tf.stack([tf.zeros(count, tf.int32), tf.range(count)], 1),
        targeted=targeted,
        model=scores_of,
        shape=tuple(images.shape[1:]),
        bounds=bounds,
    )


@pytest.fixture
def images(generator):
    return generator.uniform(size=(4, *SHAPE)).astype(np.float32)


def test_sizes(images):
    problem = problem_of(None, images, [0] * 4, bounds=(-1.0, 2.0))
    assert problem.batch == 4
    assert problem.pixels == PIXELS
    assert problem.range == 3.0
    np.testing.assert_array_equal(
        problem.clip(tf.constant([-2.0, 0.0, 4.0])), [-1.0, 0.0, 2.0]
    )
    flat = images.reshape(4, PIXELS)
    farthest = np.where(flat > 0.5, flat + 1, 2 - flat)
    np.testing.assert_allclose(problem.farthest_change, farthest)


def test_scores_of_images_and_of_candidates(images):
    net = TinyNet()
    problem = problem_of(net, images, [0] * 4)
    np.testing.assert_allclose(problem.scores(problem.images), net(images))
    candidates = tf.stack([problem.images, 1 - problem.images], 1)
    scores = problem.scores(candidates)
    assert scores.shape == (4, 2, 3)
    np.testing.assert_allclose(scores[:, 0], net(images), atol=1e-6)
    np.testing.assert_allclose(scores[:, 1], net(1 - images), atol=1e-6)


def test_scores_are_float32(images):
    half = lambda images: tf.cast(TinyNet()(images), tf.float16)  # noqa: E731
    problem = problem_of(half, images, [0] * 4)
    assert problem.scores(problem.images).dtype == tf.float32


def test_restrict(images):
    problem = problem_of(None, images, [0] * 4)
    far = problem.images + tf.constant([[-3.0], [3.0], [0.01], [0.0]])
    near = problem.restrict(far, NORMS["linf"], 0.25).numpy()
    flat = images.reshape(4, -1)
    np.testing.assert_allclose(near[0], np.maximum(flat[0] - 0.25, 0))
    np.testing.assert_allclose(near[1], np.minimum(flat[1] + 0.25, 1))
    np.testing.assert_allclose(near[2], np.minimum(far[2], 1), atol=1e-6)
    np.testing.assert_array_equal(near[3], flat[3])


@pytest.mark.parametrize("targeted", [False, True])
def test_margin_is_positive_where_adversarial(targeted, images):
    scores = tf.constant(
        [[3.0, 1.0, 2.0], [1.0, 1.5, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 5.0]]
    )
    problem = problem_of(None, images, [0, 0, 0, 2], targeted)
    sign = -1 if targeted else 1
    expected = sign * np.array([-1.0, 0.5, 0.0, -5.0])
    np.testing.assert_allclose(problem.margin(scores), expected)
    of_candidates = problem.margin(tf.stack([scores, 2 * scores], 1))
    np.testing.assert_allclose(of_candidates[:, 0], expected)
    np.testing.assert_allclose(of_candidates[:, 1], 2 * expected)


def test_margin_of_infinite_scores_is_no_nan(images):
    scores = tf.constant([[-np.inf, -np.inf, 0.0]] * 4)
    problem = problem_of(None, images, [0, 1, 2, 2])
    assert not np.isnan(problem.margin(scores)).any()


@pytest.mark.parametrize("targeted", [False, True])
def test_log_odds_grow_toward_the_goal(targeted, images, generator):
    scores = generator.normal(size=(4, 3)).astype(np.float32)
    classes = [0, 1, 2, 1]
    problem = problem_of(None, images, classes, targeted)
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    own = softmax[range(4), classes]
    expected = np.log((1 - own) / own) * (-1 if targeted else 1)
    odds = problem.log_odds(tf.constant(scores))
    np.testing.assert_allclose(odds, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("factor", [1.0, 1e3, 1e20, 1e-20])
def test_log_odds_lead_where_the_cross_entropy_does(
    targeted, factor, images, generator
):
    """And still do where float32 has no cross-entropy left to climb."""
    scores = factor * generator.normal(size=(4, 3))
    classes = [0, 1, 2, 1]
    own = np.eye(3)[classes]
    # Of the others in float64, as softmax is: that of the label would round.
    shares = np.where(own, -np.inf, scores)
    shares = np.exp(shares - shares.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = (shares - own) * (-1 if targeted else 1)
    problem = problem_of(None, images, classes, targeted)
    scores = tf.constant(scores, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        odds = problem.log_odds(scores)
    slopes = tape.gradient(odds, scores)
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("scores", "fooled"),
    [
        ([1.0, 0.0], False),
        ([0.0, 1.0], True),
        ([1.0, np.nan], None),
        ([np.nan, 1.0], None),
        ([0.0, np.inf], None),
        ([0.0, -np.inf], False),
        # Of a class that cannot be.
        ([-np.inf, 1.0], True),
        ([-np.inf, -np.inf], None),
    ],
    ids=str,
)
def test_is_adversarial(targeted, scores, fooled, images):
    """Label 0, or target 1; never where scores name no class."""
    problem = problem_of(None, images, [int(targeted)] * 4, targeted)
    hits = problem.is_adversarial(tf.constant([scores] * 4))
    assert list(hits.numpy()) == [bool(fooled)] * 4
    hits = problem.is_adversarial(tf.constant([[scores, [1.0, 0.0]]] * 4))
    assert hits.numpy().tolist() == [[bool(fooled), False]] * 4


@pytest.mark.parametrize("targeted", [False, True])
def test_a_tie_is_no_answer(targeted, images):
    """Whichever class comes first."""
    scores = tf.constant([[1.0, 1.0, 0.0]] * 2 + [[0.0, 0.0, 0.0]] * 2)
    problem = problem_of(None, images, [0, 1, 2, 0], targeted)
    expected = [False] * 4
    np.testing.assert_array_equal(problem.is_adversarial(scores), expected)


def test_gradient_of_a_linear_model(weights, images):
    problem = problem_of(linear(weights, 1.0), images, [0] * 4)
    scores, gradients = problem.gradient(problem.margin, problem.images)
    np.testing.assert_allclose(
        scores[:, 1], images.reshape(4, -1) @ weights - 1.0, rtol=1e-4
    )
    np.testing.assert_allclose(gradients, [weights] * 4)
    targeted = dataclasses.replace(problem, targeted=True)
    _, gradients = targeted.gradient(targeted.margin, problem.images)
    np.testing.assert_allclose(gradients, [-weights] * 4)


def test_gradient_that_is_not_finite_is_zero_for_its_row(weights, images):
    spoiled = tf.constant([[1.0], [np.nan], [np.inf], [1.0]])

    def score(images):
        return linear(weights, 1.0)(images) * spoiled

    problem = problem_of(score, images, [0] * 4)
    _, gradients = problem.gradient(problem.margin, problem.images)
    nothing = np.zeros(PIXELS)
    np.testing.assert_allclose(gradients, [weights, nothing, nothing, weights])


def test_what_of_a_gradient_is_not_finite_is_zero(weights, images):
    images[:, 0, :2] = 0.0

    def score(images):
        return linear(weights, 1.0)(tf.sqrt(images))

    problem = problem_of(score, images, [0] * 4)
    _, gradients = problem.gradient(problem.margin, problem.images)
    flat = images.reshape(4, -1)
    slopes = np.divide(
        weights, 2 * np.sqrt(flat), out=np.zeros_like(flat), where=flat > 0
    )
    np.testing.assert_allclose(gradients, slopes, rtol=1e-4)
    _, _, jacobian = problem.jacobian(lambda s: s[:, 1:], problem.images, True)
    np.testing.assert_allclose(jacobian[:, 0], slopes, rtol=1e-4)


def test_a_model_without_a_gradient_is_warned_of(images):
    problem = problem_of(tf.stop_gradient, images, [0] * 4)
    with pytest.warns(UserWarning, match="no gradient .* is no robustness"):
        problem.gradient(lambda s: tf.reduce_sum(s, (1, 2, 3)), problem.images)


def test_gradient_that_does_not_exist_is_zero(images):
    def score(images):
        dark = tf.cast(tf.reshape(images, (-1, PIXELS)) < 0.5, tf.float32)
        return dark[:, :3]

    problem = problem_of(score, images, [0] * 4)
    _, gradients = problem.gradient(problem.log_odds, problem.images)
    np.testing.assert_array_equal(gradients, np.zeros((4, PIXELS)))


@pytest.mark.parametrize("wrap", [lambda score: score, tf.function])
def test_an_operation_without_a_gradient_is_one_of_zero(wrap, images):
    @wrap
    def score(images):
        small = tf.image.resize(images, (2, 2), method="area")
        return tf.reshape(small, (-1, 4))

    counter = counting.Counter()
    problem = problem_of(counter.wrap(score), images, [0] * 4)

    @tf.function
    def take(flat):
        return (
            problem.gradient(problem.log_odds, flat)[1],
            problem.jacobian(lambda s: s[:, 1:], flat, False)[2],
            problem.jacobian(lambda s: s[:, 1:], flat, True)[2],
        )

    found = take(problem.images)
    # Of three questions.
    assert counter.take() == (12, 0)
    np.testing.assert_array_equal(found[0], np.zeros((4, PIXELS)))
    for jacobian in found[1:]:
        np.testing.assert_array_equal(jacobian, np.zeros((4, 3, PIXELS)))


def test_a_mistake_in_a_model_is_no_missing_gradient(images):
    @tf.custom_gradient
    def score(images):
        flat = tf.reshape(images, (-1, PIXELS))
        return flat[:, :3], lambda upstream: {}["scale"] * upstream

    problem = problem_of(score, images, [0] * 4)
    with pytest.raises(KeyError, match="scale"):
        problem.gradient(problem.log_odds, problem.images)


@pytest.mark.parametrize("vectorized", [False, True])
def test_jacobian_holds_the_gradient_of_each_objective(vectorized, images):
    net = TinyNet()
    problem = problem_of(net, images, [0] * 4)
    take = tf.function(
        lambda flat: problem.jacobian(lambda s: s[:, 1:], flat, vectorized)
    )
    scores, values, gradients = take(problem.images)
    np.testing.assert_allclose(scores, net(images), atol=1e-6)
    np.testing.assert_array_equal(values, scores[:, 1:])
    for row in range(2):
        _, expected = problem.gradient(
            lambda scores, row=row: scores[:, row + 1], problem.images
        )
        np.testing.assert_allclose(gradients[:, row], expected, atol=1e-5)


def test_margins_are_in_every_score_of_the_class(images):
    net = TinyNet()
    margins = tf.constant([0.0, 1.0, -2.0, 0.5])
    plain = problem_of(net, images, [0, 1, 2, 0])
    problem = dataclasses.replace(plain, margins=margins)
    candidates = tf.stack([problem.images, 1 - problem.images], 1)
    for flat in (problem.images, candidates):
        risen = problem.scores(flat) - plain.scores(flat)
        for row, label in enumerate([0, 1, 2, 0]):
            expected = np.zeros(3)
            expected[label] = margins[row]
            np.testing.assert_allclose(
                risen[row], np.broadcast_to(expected, risen[row].shape), 1e-6
            )
    # What belongs to no row is as the model says.
    np.testing.assert_allclose(problem.ask(plain.images), net(images))
