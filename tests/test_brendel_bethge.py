import functools

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import linear
from closed_forms import sizes
from closed_forms import sizes_over_optimum
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import final_state
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks import brendel_bethge
from dim_tf.attacks.brendel_bethge import L0BrendelBethgeAttack
from dim_tf.attacks.brendel_bethge import L1BrendelBethgeAttack
from dim_tf.attacks.brendel_bethge import L2BrendelBethgeAttack
from dim_tf.attacks.brendel_bethge import LinfinityBrendelBethgeAttack
from dim_tf.attacks.trust_region import Place
from dim_tf.attacks.trust_region import best_step

ATTACKS = [
    L0BrendelBethgeAttack,
    L1BrendelBethgeAttack,
    L2BrendelBethgeAttack,
    LinfinityBrendelBethgeAttack,
]
ALL_ATTACKS = pytest.mark.parametrize("attack", ATTACKS)
ROWS = len(NET.images)


@functools.cache
def compiled_step(norm):
    return tf.function(lambda *fields: best_step(norm, Place(*fields)))


class OurSolver:
    """Takes the place of foolbox's solvers, which numba compiles for long."""

    def __init__(self, norm):
        self.step = compiled_step(norm)

    def solve(self, original, image, gradient, lower, upper, gap, radius):
        slope = np.linalg.norm(gradient)
        known = original - image, lower - image, upper - image, gradient / slope
        numbers = slope, gap / slope, radius
        step = self.step(
            *[tf.constant(np.float32(each)[None]) for each in known],
            *[tf.fill((1, 1), np.float32(each)) for each in numbers],
        )
        return step[0].numpy()


def foolbox_attack(attack):
    """Of the same name."""
    return getattr(foolbox.attacks, attack.__name__)


@pytest.mark.parametrize(
    ("attack", "region_factor"),
    [
        # As in foolbox, where it mostly limits the steps.
        *((attack, ROWS) for attack in ATTACKS),
        (LinfinityBrendelBethgeAttack, 100),
    ],
)
def test_the_walk_is_foolbox_s(monkeypatch, attack, region_factor):
    expected = foolbox_attack(attack)
    solver = OurSolver(attack.norm)
    monkeypatch.setattr(expected, "instantiate_optimizer", lambda self: solver)
    settings = {"steps": 12, "lr_num_decay": 4, "lr_decay": 0.3}
    theirs = foolbox_result(
        expected(**settings, lr=1e-3 * region_factor / ROWS),
        starting_points=NET.others,
    )
    ours = final_state(
        attack(**settings, region_factor=region_factor, clearance=0.0),
        starting_points=NET.others,
    )
    # In L0, foolbox does not take what is almost home for being there. In Linf,
    # roundings, which differ from machine to machine, grow from step to step.
    tolerance = {"l0": 2e-4, "linf": 5e-5}.get(attack.norm, 1e-5)
    np.testing.assert_allclose(ours["result"], theirs, 0, tolerance)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:At the first initialisation")
@pytest.mark.parametrize(
    ("attack", "steps"),
    [
        # Walks in L0 are chaotic until they have settled.
        (L0BrendelBethgeAttack, 200),
        (L1BrendelBethgeAttack, 50),
        (L2BrendelBethgeAttack, 50),
    ],
)
def test_distances_are_foolbox_s_or_less(attack, steps):
    """With its own solvers; that of Linf may never come back."""
    theirs = foolbox_result(
        foolbox_attack(attack)(steps=steps, lr=1e-3 * 100 / ROWS),
        starting_points=NET.others,
    )
    ours = final_state(attack(steps=steps), starting_points=NET.others)
    clean = NET.images.numpy().reshape(ROWS, -1)
    theirs, ours = (
        sizes(attack.norm, np.where(abs(each - clean) > 1e-4, each - clean, 0))
        for each in (theirs, ours["result"])
    )
    assert (ours <= theirs * 1.02).all(), (ours, theirs)


@pytest.mark.parametrize("attack", ATTACKS[1::2])
def test_it_reaches_the_plane_of_a_linear_model(attack):
    ratios = sizes_over_optimum(attack(steps=60))
    np.testing.assert_allclose(ratios, 1, 0, 1e-3)


def test_it_finds_the_fewest_pixels_of_a_linear_model():
    generator = np.random.default_rng(0)
    weights = generator.choice([-1, 1], PIXELS) * np.linspace(1, 2, PIXELS)
    images = generator.uniform(0.2, 0.8, (8, *SHAPE)).astype(np.float32)
    flat = images.reshape(8, -1)
    offset = np.float32((flat @ weights).max() + 3.0)
    gains = weights * np.where(weights > 0, 1 - flat, -flat)
    gains = np.cumsum(-np.sort(-gains, axis=1), axis=1)
    lacks = offset - flat @ weights
    optimum = (gains <= lacks[:, None]).sum(1) + 1
    assert (lacks > 0).all()
    assert np.unique(optimum).size > 2
    adversarials, _, success = L0BrendelBethgeAttack(steps=60)(
        foolbox_model(linear(np.float32(weights), offset)),
        images,
        np.zeros(8, int),
        epsilons=None,
    )
    assert success.numpy().all()
    counts = sizes("l0", adversarials.numpy() - images)
    np.testing.assert_array_equal(counts, optimum)


@pytest.mark.parametrize("attack", ATTACKS[::3])
def test_neighbors_change_nothing(attack):
    changes = check_rows_are_independent(
        attack(steps=15, region_factor=10.0), starts=True
    )
    assert not changes[1].any()


def test_without_a_gradient_it_stays_next_to_the_boundary():
    def score(images):
        return tf.stop_gradient(NET(images))

    adversarials, _, success = L2BrendelBethgeAttack(steps=3)(
        foolbox_model(score),
        NET.images,
        NET.labels,
        epsilons=None,
        starting_points=NET.others,
    )
    assert success.numpy().all()
    clean, ends, found = (
        np.reshape(each, (ROWS, -1))
        for each in (NET.images, NET.others, adversarials)
    )
    shares = (found - clean).sum(1) / (ends - clean).sum(1)
    shares = np.float32(shares[:, None])
    np.testing.assert_allclose(found, clean + shares * (ends - clean), 0, 1e-5)
    shorter = clean + (shares - 2**-9) * (ends - clean)
    np.testing.assert_array_equal(tf.argmax(NET(shorter), 1), NET.labels)


def test_scores_that_are_not_numbers_are_no_dead_end():
    def score(images):
        """Without scores next to the boundary."""
        scores = NET(images)
        best = tf.math.top_k(scores, 2).values
        lost = best[:, :1] - best[:, 1:] < 0.5
        return tf.where(lost, np.nan, scores)

    adversarials, _, success = L2BrendelBethgeAttack(steps=30)(
        foolbox_model(score),
        NET.images,
        NET.labels,
        epsilons=None,
        starting_points=NET.others,
    )
    assert success.numpy().all()
    found = sizes("l2", adversarials.numpy() - NET.images)
    given = sizes("l2", NET.others.numpy() - NET.images)
    assert (found < 0.8 * given).all()


def test_bounds_are_a_matter_of_scale():
    attack = L2BrendelBethgeAttack(steps=30)
    wide = attack.run(
        foolbox_model(lambda images: NET((images + 1) / 4), (-1, 3)),
        4 * NET.images - 1,
        NET.labels,
        starting_points=4 * NET.others - 1,
    )
    state = final_state(attack, starting_points=NET.others)
    narrow = tf.reshape((wide + 1) / 4, (ROWS, -1))
    np.testing.assert_allclose(narrow, state["result"], 0, 1e-3)


def test_rounding_does_not_decide():
    """What is found leads by more than the scores are uncertain."""
    state = final_state(
        L2BrendelBethgeAttack(steps=30), starting_points=NET.others
    )
    scores = NET(state["result"]).numpy().astype(np.float64)
    own = scores[np.arange(ROWS), NET.labels]
    others = np.where(np.eye(3, dtype=bool)[NET.labels], -np.inf, scores)
    assert (others.max(1) - own > 4e-6 * np.abs(scores).max(1)).all()


def test_steps_are_counted_over_several_rounds(monkeypatch):
    whole = final_state(
        L2BrendelBethgeAttack(steps=30), starting_points=NET.others
    )
    monkeypatch.setattr(brendel_bethge.BrendelBethge, "steps_together", 7)
    # Another attack to the caches, and the same steps.
    parts = final_state(
        L2BrendelBethgeAttack(steps=30, lr=1e-3 + 1e-12),
        starting_points=NET.others,
    )
    assert (parts["step"] == 30).all()
    np.testing.assert_allclose(parts["result"], whole["result"], 0, 1e-6)


def test_it_finds_its_own_starting_points():
    attack = L2BrendelBethgeAttack(steps=30)
    adversarials, _, success = attack(
        MODEL, NET.images, NET.labels, epsilons=None
    )
    assert success.numpy().all()
    found = sizes(attack.norm, adversarials.numpy() - NET.images)
    given = sizes(attack.norm, NET.others.numpy() - NET.images)
    assert (found < 0.6 * given).all()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        L2BrendelBethgeAttack(steps=0)
    with pytest.raises(ValueError, match="lr_num_decay must be at least 1"):
        L2BrendelBethgeAttack(lr_num_decay=0)
    with pytest.raises(ValueError, match="one of correct, foolbox, got 'up'"):
        L2BrendelBethgeAttack(toward_plane="up")
