import math

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import DUAL_ORDER
from closed_forms import SHAPE
from closed_forms import check_budget
from closed_forms import constant
from closed_forms import flat
from closed_forms import linear
from closed_forms import not_a_number
from closed_forms import sizes
from tiny_nets import CLASSES
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model

from dim_tf.attacks import climbs
from dim_tf.attacks import l1_ball
from dim_tf.attacks import norms
from dim_tf.attacks.auto_pgd import AutoPGDAttack
from dim_tf.attacks.auto_pgd import TargetedAutoPGDAttack
from dim_tf.attacks.auto_pgd import spread
from dim_tf.attacks.climbs import _periods
from dim_tf.attacks.problem import Problem

BALLS = pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
KINDS = pytest.mark.parametrize(
    "kind", [AutoPGDAttack, TargetedAutoPGDAttack], ids=lambda k: k.__name__
)
EPSILONS = {"l1": 3.0, "l2": 0.8, "linf": 0.1}


def run(score, images, labels, epsilons, kind=AutoPGDAttack, **settings):
    _, adversarials, success = kind(**settings)(
        foolbox_model(score), images, labels, epsilons=epsilons
    )
    return np.asarray(adversarials), success.numpy()


@KINDS
@BALLS
def test_finds_what_the_closed_form_allows(kind, norm, weights, generator):
    images = generator.uniform(0.45, 0.55, (5, *SHAPE)).astype(np.float32)
    activations = images.reshape(5, -1) @ weights
    offset = activations.max() + 0.2
    optima = (offset - activations) / np.linalg.norm(weights, DUAL_ORDER[norm])
    score = linear(weights, offset)
    for place, optimum in enumerate(optima):
        adversarials, success = run(
            score,
            images[place : place + 1],
            np.zeros(1, int),
            [0.99 * optimum, 1.01 * optimum],
            kind=kind,
            norm=norm,
            steps=50,
        )
        np.testing.assert_array_equal(success[:, 0], [False, True])
        for epsilon, answer in zip((0.99, 1.01), adversarials, strict=True):
            check_budget(
                answer, images[place : place + 1], norm, epsilon * optimum
            )


def test_checkpoints_are_those_of_the_paper():
    """Shares 0.22, 0.41, 0.57, ... of the steps, at last 0.06 apart."""
    periods = _periods(100)
    np.testing.assert_array_equal(
        np.flatnonzero(periods), [22, 41, 57, 70, 80, 87, 93, 99]
    )
    np.testing.assert_array_equal(
        periods[periods > 0], [22, 19, 16, 13, 10, 7, 6, 6]
    )
    assert (_periods(1) == [0, 1]).all()


WAVES = np.random.default_rng(1).normal(0, 1.5, (36, 30)).astype(np.float32)
MIX = np.random.default_rng(2).normal(0, 1, (30, 3)).astype(np.float32)


def rugged(images):
    """Scores with many hills, so that every step of a climb matters."""
    return tf.sin(tf.reshape(images, (-1, 36)) @ WAVES) @ MIX


def look(point, label):
    """Loss and gradient at a point."""
    values = tf.constant(point[None])
    with tf.GradientTape() as tape:
        tape.watch(values)
        scores = rugged(values)
        others = tf.concat([scores[:, :label], scores[:, label + 1 :]], 1)
        loss = tf.reduce_logsumexp(others, 1) - scores[:, label]
    gradient = tape.gradient(loss, values).numpy().ravel()
    return float(loss[0]), gradient


def ascent(norm, image, label, start, epsilon, steps, rho):
    """The best point of the paper's algorithm, written for one sample.

    Losses are those of the points looked at, the first of them the start's.
    """
    ball = norms.NORMS[norm]

    def restrict(point):
        change = ball.project(tf.constant((point - image)[None]), epsilon)
        return np.clip(image + change.numpy()[0], 0, 1)

    def unit(gradient):
        if norm == "linf":
            return np.sign(gradient)
        return gradient / np.linalg.norm(gradient)

    checks, period = [0, max(int(0.22 * steps), 1)], max(int(0.22 * steps), 1)
    while checks[-1] < steps:
        period = max(period - max(int(0.03 * steps), 1), int(0.06 * steps), 1)
        checks.append(checks[-1] + period)
    point = previous = start
    step, reduced, last_best = 2 * epsilon, True, -np.inf
    losses, points, gradients = [], [], []
    for index in range(steps):
        loss, gradient = look(point, label)
        losses.append(loss)
        points.append(point)
        gradients.append(gradient)
        best = int(np.argmax(losses))
        if index in checks[1:]:
            since = checks[checks.index(index) - 1]
            rises = np.sum(np.diff(losses[since : index + 1]) > 0)
            few = rises <= rho * (index - since)
            stuck = not reduced and losses[best] <= last_best
            reduced, last_best = few or stuck, losses[best]
            if reduced:
                step /= 2
                point, gradient = points[best], gradients[best]
        ahead = restrict(point + step * unit(gradient))
        share = 0.75 if index else 1.0
        moved = point + share * (ahead - point)
        moved = moved + (1 - share) * (point - previous)
        previous, point = point, restrict(moved)
    losses.append(look(point, label)[0])
    points.append(point)
    return points[int(np.argmax(losses))]


# Steps within three epsilons, two and one.
LENGTHS = {
    1: (0, 0, 1),
    2: (0, 0, 2),
    3: (1, 1, 1),
    4: (1, 1, 2),
    5: (2, 2, 1),
    30: (9, 9, 12),
    100: (30, 30, 40),
}


def sparse_ascent(image, label, start, epsilon, steps):
    """The same of the algorithm in L1, of one sample."""

    def restrict(point, radius):
        problem = Problem(
            images=tf.constant(image[None]),
            classes=tf.constant([label]),
            seeds=None,
            targeted=False,
            model=None,
            shape=SHAPE,
            bounds=(0.0, 1.0),
        )
        point = tf.constant(point[None], tf.float32)
        return l1_ball.restrict(problem, point, radius).numpy()[0]

    point = start
    for factor, count in zip((3, 2, 1), LENGTHS[steps], strict=True):
        radius = factor * epsilon
        point = restrict(point, radius)
        period = max(int(0.04 * count), 1)
        changed = np.count_nonzero(point - image)
        moving, step = changed / 1.5, radius
        best_loss, gradient = look(point, label)
        best, best_gradient = point, gradient
        for index in range(1, count + 1):
            kept = max(math.ceil(moving), 1)
            least = np.sort(np.abs(gradient))[-kept]
            signs = np.where(np.abs(gradient) >= least, np.sign(gradient), 0)
            point = restrict(point + step * signs / np.abs(signs).sum(), radius)
            loss, gradient = look(point, label)
            if loss > best_loss:
                best_loss, best, best_gradient = loss, point, gradient
            if index % period == 0:
                now = np.count_nonzero(best - image)
                if now < 0.95 * changed:
                    point, gradient, step = best, best_gradient, radius
                else:
                    step = max(step / 1.5, radius / 10)
                moving, changed = now / 1.5, now
        point = best
    return best


def steps_from(norm, starts, images, labels, monkeypatch, **settings):
    """Answers of climbs that start at points, as long as nothing is found."""
    monkeypatch.setattr(
        climbs.CLIMBS[norm],
        "start",
        lambda climb, problem, seeds, radius: climb.restrict(
            problem, tf.constant(starts), radius
        ),
    )
    # Of a class so much ahead that no climb ends at an adversarial.
    ahead = [100.0, 0.0, 0.0]
    adversarials, success = run(
        lambda values: rugged(values) + ahead,
        images.reshape(-1, *SHAPE),
        labels,
        EPSILONS[norm],
        norm=norm,
        **settings,
    )
    assert not success.any()
    return adversarials.reshape(len(images), -1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("steps", "rho"), [(7, 0.75), (30, 0.75), (30, 0.3)])
def test_the_steps_are_the_paper_s(norm, steps, rho, monkeypatch):
    images = np.random.default_rng(0).uniform(0.2, 0.8, (8, 36))
    images = images.astype(np.float32)
    labels = np.zeros(8, int)
    answers = steps_from(
        norm, images, images, labels, monkeypatch, steps=steps, rho=rho
    )
    expected = [
        ascent(norm, image, label, image, EPSILONS[norm], steps, rho)
        for image, label in zip(images, labels, strict=True)
    ]
    np.testing.assert_allclose(answers, expected, 0, 1e-3)


@pytest.mark.parametrize("steps", LENGTHS)
def test_the_steps_in_l1_are_the_paper_s(steps, monkeypatch):
    generator = np.random.default_rng(0)
    images = generator.uniform(0.0, 1.0, (8, 36)).astype(np.float32)
    images[:, ::3] = 0
    starts = images + generator.normal(0, 1, images.shape).astype(np.float32)
    labels = np.zeros(8, int)
    answers = steps_from("l1", starts, images, labels, monkeypatch, steps=steps)
    expected = [
        sparse_ascent(image, label, start, EPSILONS["l1"], steps)
        for image, label, start in zip(images, labels, starts, strict=True)
    ]
    np.testing.assert_allclose(answers, expected, 0, 1e-3)


@BALLS
def test_runs_start_at_random_within_ball_and_bounds(norm):
    climb = climbs.CLIMBS[norm](norm, 10, 0.75)
    images = np.random.default_rng(0).uniform(-2, 2, (4, 36))
    problem = Problem(
        images=tf.constant(images, tf.float32),
        classes=tf.zeros(4, tf.int64),
        seeds=None,
        targeted=False,
        model=None,
        shape=SHAPE,
        bounds=(-2.0, 2.0),
    )
    radius = 2 * EPSILONS[norm] * tf.ones((4, 1))
    seeds = tf.constant([[1, 2], [1, 3], [7, 2], [1, 2]])
    starts = climb.start(problem, seeds, radius).numpy()
    assert (np.abs(starts) <= 2).all()
    change = starts - images
    found = sizes(norm, change)
    assert (found <= 2 * EPSILONS[norm] * (1 + 1e-6)).all()
    assert (found > 0.9 * EPSILONS[norm]).all()
    # One seed draws the same, but for what the bounds allow.
    inside = (np.abs(starts[0]) < 2) & (np.abs(starts[3]) < 2)
    if norm != "l1":
        np.testing.assert_allclose(
            change[0][inside], change[3][inside], 0, 1e-6
        )
    for other in (1, 2):
        assert np.abs(change[0] - change[other]).max() > 0.5 * found[0] / 36


@BALLS
def test_targets_find_what_the_best_other_class_does_not_lead_to(norm):
    """The second best class has the steeper way."""
    weights = np.linspace(-1, 1, 36).astype(np.float32)

    def score(images):
        values = tf.reshape(images, (-1, 36)) @ weights[:, None]
        zeros = tf.zeros_like(values)
        return tf.concat([zeros, zeros - 0.1, 10 * values - 1, zeros - 9], 1)

    images = np.full((1, *SHAPE), 0.5, np.float32)
    labels = np.zeros(1, int)
    optimum = 0.1 / np.linalg.norm(weights, DUAL_ORDER[norm])
    for loss in ("margin", "dlr"):
        found = [
            run(
                score,
                images,
                labels,
                1.1 * optimum,
                kind=TargetedAutoPGDAttack,
                norm=norm,
                targets=targets,
                steps=20,
                loss=loss,
            )[1][0]
            for targets in (1, 2, 9)
        ]
        assert found == [False, True, True]


def test_the_spread_leaves_out_what_there_is_not():
    scores = [[1.0, 5.0, 2.0, 4.0, 3.0], [9.0, 1.0, 3.0, -np.inf, -np.inf]]
    np.testing.assert_allclose(spread(tf.constant(scores)), [2.5, 8.0])
    np.testing.assert_allclose(spread(tf.constant([[3.0, 1.0]])), [1.0])
    np.testing.assert_allclose(spread(tf.constant([[2.0] * 4])), [1.0])


def test_other_runs_find_what_one_does_not():
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 1, (40, *SHAPE)).astype(np.float32)
    labels = np.argmax(rugged(images), 1)
    attack, epsilon = AutoPGDAttack(norm="l1", steps=1), 0.3
    call = (foolbox_model(rugged), images, labels)
    *_, once = attack(*call, epsilons=epsilon)
    _, adversarials, often = attack.repeat(5)(*call, epsilons=epsilon)
    once, often = once.numpy(), often.numpy()
    assert often[once].all()
    assert once.sum() < often.sum() < 40
    np.testing.assert_array_equal(
        np.argmax(rugged(adversarials), 1) != labels, often
    )
    check_budget(adversarials.numpy(), images, "l1", epsilon)


@KINDS
@BALLS
def test_neighbors_change_nothing(kind, norm):
    attack = kind(norm=norm, steps=15)
    check_rows_are_independent(attack, EPSILONS[norm])


@KINDS
@BALLS
def test_hostile_models_are_not_fooled(kind, norm):
    images = np.full((2, *SHAPE), 0.5, np.float32)
    epsilon = EPSILONS[norm]
    for score in (constant, flat, not_a_number):
        adversarials, success = run(
            score,
            images,
            np.zeros(2, int),
            epsilon,
            kind=kind,
            norm=norm,
            steps=5,
        )
        assert not success.any()
        check_budget(adversarials, images, norm, epsilon)


@BALLS
def test_a_class_is_reached(norm):
    goal = foolbox.criteria.TargetedMisclassification(
        (NET.labels + 1) % CLASSES
    )
    epsilon = 5 * EPSILONS[norm]
    _, adversarials, success = AutoPGDAttack(norm=norm)(
        MODEL, NET.images, goal, epsilons=epsilon
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(
        np.argmax(NET(adversarials), 1), (NET.labels + 1) % CLASSES
    )
    with pytest.raises(ValueError, match="has no targeted form"):
        TargetedAutoPGDAttack()(MODEL, NET.images, goal, epsilons=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "l0"}, "norm must be one of l1, l2, linf, got 'l0'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"loss": "dlr"}, "loss must be one of log_odds"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        AutoPGDAttack(**settings)
