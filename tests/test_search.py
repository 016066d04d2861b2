from typing import ClassVar

import foolbox
import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_nets import foolbox_model

from dim_tf import attacks
from dim_tf import data
from dim_tf import models
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.pursuit import Pursuit
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import protocol
from dim_tf.evaluation.search import search

WEIGHT = 0.01


def brightness_model(limit, common=0.0):
    """Class 1 where the sum of all pixels is above a limit, else class 0.

    Both scores are larger by what they have in common.
    """
    inputs = keras.Input(data.IMAGE_SHAPE)
    total = keras.layers.Dense(
        1,
        kernel_initializer=keras.initializers.Constant(WEIGHT),
        bias_initializer=keras.initializers.Constant(-WEIGHT * limit),
    )(keras.layers.Flatten()(inputs))
    scores = keras.layers.Concatenate()([-total, total]) + common
    return keras.Model(inputs, {"scores": scores})


def asked(
    attack, brightness, limit=300.0, view_limit=None, common=0.0, **settings
):
    """What a search finds on images of some brightness.

    With a view limit, the attack runs on a model with that one. Settings are
    those of the attack's row.
    """
    on_view = view_limit is not None
    model = brightness_model(limit, common)
    images = np.ones((len(brightness), *data.IMAGE_SHAPE), np.float32)
    images *= np.reshape(brightness, (-1, 1, 1, 1)).astype(np.float32)
    labels = np.zeros(len(images), np.int64)
    examples = data.Examples(images, labels, np.arange(len(images)))
    spec = AttackSpec("an_attack", "gradients", attack, **settings)
    trial = protocol.Trial(model, spec.norm, examples)
    attacked = brightness_model(view_limit) if on_view else model
    fmodel = foolbox_model(models.classifier(attacked))
    found = search(spec, spec.runnable(), fmodel, trial, on_view=on_view)
    return found, trial


def test_the_least_epsilon_is_found_between_those_of_the_grid():
    brightness = np.array([0.1, 0.25, 0.38])
    needed = 300 / 784 - brightness
    epsilons, trial = asked(attacks.LinfFastGradientAttack(), brightness)
    # The gap in the grid, halved six times.
    assert (epsilons >= needed).all()
    assert (epsilons - needed < 0.05 / 2**6 + 1e-6).all()
    np.testing.assert_allclose(trial.distances, epsilons, 1e-5)
    np.testing.assert_array_equal(trial.predictions, 1)


def test_another_image_is_a_start_where_nothing_else_is():
    """Of a model that sees its class in all noise and in all of one color."""
    left = np.where(np.arange(28) < 14, 1.0, -1.0) / 392
    weights = np.tile(left, 28).reshape(-1, 1)
    inputs = keras.Input(data.IMAGE_SHAPE)
    total = keras.layers.Dense(
        1,
        kernel_initializer=lambda shape, dtype: weights,
        bias_initializer=keras.initializers.Constant(-0.6),
    )(keras.layers.Flatten()(inputs))
    scores = keras.layers.Concatenate()([-total, total])
    model = keras.Model(inputs, {"scores": scores})
    images = np.full((3, *data.IMAGE_SHAPE), 0.5, np.float32)
    images[1] += 0.1
    images[2, :, :14], images[2, :, 14:] = 1.0, 0.1
    examples = data.Examples(images, np.array([0, 0, 1]), np.arange(3))
    spec = AttackSpec("an_attack", "g", attacks.L2BrendelBethgeAttack())
    fmodel = foolbox_model(models.classifier(model))
    alone, started = (
        protocol.Trial(model, "l2", examples.take(slice(2))) for _ in range(2)
    )
    search(spec, spec.runnable(), fmodel, alone)
    search(spec, spec.runnable(), fmodel, started, others=examples)
    assert np.isinf(alone.distances).all()
    optimum = 0.6 / np.linalg.norm(weights)
    np.testing.assert_allclose(started.distances, optimum, 0.01)


@frozen
class Brightening(Pursuit):
    """All of epsilon at once."""

    changing: ClassVar[tuple[str, ...]] = ("active", "result")
    steps_together: ClassVar[int] = 1
    norm: str = "l2"

    def start(self, problem, rows):
        unit = {"l2": 28.0, "linf": 1.0}[self.norm]
        return {
            "active": tf.zeros((problem.batch,), tf.bool),
            "result": problem.images + rows["epsilon"] / unit,
        }

    def step(self, problem, state):
        raise AssertionError("nobody is active")


@pytest.mark.parametrize(
    ("norm", "repeats"), [("l2", 1), ("linf", 1), ("linf", 3)]
)
def test_what_is_found_at_the_threshold_is_moved_toward_the_image(
    norm, repeats
):
    unit = {"l2": 28.0, "linf": 1.0}[norm]
    brightness = np.array([0.25, 0.35, 0.1])
    needed = (300 / 784 - brightness) * unit
    threshold = 0.2 * unit
    epsilons, trial = asked(
        Brightening(norm=norm), brightness, grid=(threshold,), repeats=repeats
    )
    np.testing.assert_array_equal(epsilons, [threshold, threshold, np.nan])
    assert np.isinf(trial.distances[2])
    assert (trial.distances[:2] >= needed[:2] * (1 - 1e-5)).all()
    # An eleventh of the way, halved eight times.
    slack = threshold / 11 / 2**8 * 1.01
    assert (trial.distances[:2] <= needed[:2] + slack).all()


@frozen
class Creeping(Brightening):
    """All of epsilon, a little at a time."""

    changing: ClassVar[tuple[str, ...]] = ("active", "result", "step")
    steps: int = 400

    def start(self, problem, rows):
        far = super().start(problem, rows)["result"]
        active = ~problem.is_adversarial(problem.scores(problem.images))
        return {
            "active": active,
            "result": problem.images,
            "step": tf.zeros((problem.batch,), tf.int32),
            "stride": (far - problem.images) / self.steps,
        }

    def step(self, problem, state):
        moved = state["result"] + state["stride"]
        active = state["active"]
        found = problem.is_adversarial(problem.scores(moved))
        step = state["step"] + 1
        return {
            "result": tf.where(active[:, None], moved, state["result"]),
            "step": step,
            "active": active & ~found & (step < self.steps),
        }


@pytest.mark.parametrize(
    ("judged", "reached"),
    [
        # Scores so large that a small lead of one may be a rounding.
        ({"common": -1e4}, 303.0),
        # What fools the view is not enough for the model.
        ({"limit": 310.0, "view_limit": 300.0}, 310.05),
    ],
)
def test_what_the_judge_refuses_at_the_threshold_is_asked_for_again(
    judged, reached
):
    """It stops at the first that it meets, which is not at its end."""
    threshold = reached / 784 - 0.3
    epsilons, trial = asked(
        Creeping(norm="linf"), [0.3], grid=(threshold,), **judged
    )
    np.testing.assert_array_equal(epsilons, [threshold])
    assert (trial.distances <= threshold).all()


def test_what_no_epsilon_is_enough_for_fails():
    epsilons, trial = asked(attacks.LinfFastGradientAttack(), [0.2], 790.0)
    assert np.isnan(epsilons).all()
    assert np.isinf(trial.distances).all()
    np.testing.assert_array_equal(trial.adversarials, trial.examples.images)


def test_epsilons_do_not_depend_on_the_neighbors():
    attack = attacks.LinfProjectedGradientDescentAttack()
    together, _ = asked(attack, [0.1, 0.25])
    alone, _ = asked(attack, [0.25])
    np.testing.assert_allclose(together[1:], alone, 1e-6)


@pytest.mark.parametrize(
    ("distance", "norm", "unit"),
    [
        (foolbox.distances.linf, np.inf, 1.0),
        (foolbox.distances.l2, 2, 28.0),
        (foolbox.distances.l1, 1, 784.0),
    ],
)
def test_a_far_adversarial_is_moved_toward_the_image(distance, norm, unit):
    attack = attacks.InversionAttack(distance=distance)
    epsilons, trial = asked(attack, [0.25])
    needed = (300 / 784 - 0.25) * unit
    assert np.isnan(epsilons).all()
    # A tenth of the way, halved eight times.
    assert needed <= trial.distances[0] * (1 + 1e-5)
    assert trial.distances[0] < needed + 0.5 * unit / 11 / 2**8 * 1.01
    change = (trial.adversarials - trial.examples.images).reshape(1, -1)
    size = np.linalg.norm(change, norm, axis=1)
    np.testing.assert_allclose(trial.distances, size, 1e-5)


@pytest.mark.parametrize("reached", [301.0, 310.0, 400.0, 700.0])
def test_no_part_of_the_way_is_left_out(reached):
    """An answer just beyond the boundary is brought to it like a far one."""

    class Brightens(attacks.L2DeepFoolAttack):
        def __call__(self, model, inputs, criterion, *, epsilons):
            found = np.full(inputs.shape, reached / 784, np.float32)
            return tf.constant(found), None, None

    _, trial = asked(Brightens(), [0.25])
    needed = 28 * (300 / 784 - 0.25)
    assert needed * (1 - 1e-5) < trial.distances[0]
    assert trial.distances[0] < needed + 28 * reached / 784 / 11 / 2**8


def test_the_model_s_boundary_is_looked_for_beyond_that_of_its_view():
    attack = attacks.L2DeepFoolAttack()
    _, trial = asked(attack, [0.25, 0.28, 0.01], view_limit=250.0)
    needed = 28 * (300 / 784 - np.array([0.25, 0.28, 0.01]))
    reached = 28 * (250 / 784 - np.array([0.25, 0.28, 0.01]))
    # Up to the next factor, halved five times.
    assert (trial.distances >= needed * (1 - 1e-5)).all()
    assert (trial.distances <= needed + 0.5 * reached / 2**5).all()


@pytest.mark.parametrize(
    ("view_limit", "far"),
    [
        (200.0, "more than four times as far"),
        (150.0, "the view takes the image for an adversarial"),
    ],
)
def test_a_view_that_misleads_is_made_to_agree_with_the_model(view_limit, far):
    attack = attacks.L2DeepFoolAttack()
    _, trial = asked(attack, [0.25, 0.25], view_limit=view_limit)
    needed = 28 * (300 / 784 - 0.25)
    # DeepFool overshoots by 2 %, which the last eleventh of the way takes back.
    assert (trial.distances > needed * (1 - 1e-5)).all(), far
    np.testing.assert_allclose(trial.distances, needed, 1e-3)


def test_a_view_leads_to_adversarials_that_no_direction_holds():
    # White pixels cannot be whiter: the view's answer leads nowhere else.
    _, trial = asked(attacks.PointwiseAttack(), [0.25], view_limit=270.0)
    assert trial.distances[0] == np.ceil((300 - 0.25 * 784) / 0.75)


def test_no_agreement_makes_an_adversarial_of_what_is_none():
    attack = attacks.L2DeepFoolAttack()
    _, trial = asked(attack, [0.25], limit=790.0, view_limit=200.0)
    assert np.isinf(trial.distances).all()
    np.testing.assert_array_equal(trial.adversarials, trial.examples.images)


def test_an_attack_that_answers_as_before_is_not_asked_again():
    asks = []

    class Gives(attacks.L2DeepFoolAttack):
        def __call__(self, model, inputs, criterion, *, epsilons):
            asks.append(len(inputs))
            # The darker image turns white, the other one stays.
            found = np.where(inputs < 0.3, 1.0, inputs).astype(np.float32)
            return tf.constant(found), None, None

    _, trial = asked(Gives(), [0.25, 0.35], limit=790.0, view_limit=200.0)
    assert np.isinf(trial.distances).all()
    # At first, and once more with what the answers taught.
    assert asks == [2, 2]


@pytest.mark.parametrize("common", [0.0, -1e4, 1e4])
def test_an_answer_leads_by_more_than_a_rounding(common):
    """Pointwise stops at the first lead, which large scores may round to."""
    brightness = np.linspace(0.2, 0.38, 19)
    _, trial = asked(attacks.PointwiseAttack(), brightness, common=common)
    # A lead of twice the weight for each unit of brightness.
    surely = 300 + abs(common) * 4e-6 / (2 * WEIGHT)
    needed = np.ceil((surely - brightness * 784) / (1 - brightness))
    np.testing.assert_allclose(trial.distances, needed, atol=1)


def test_a_search_that_is_not_moved_keeps_its_pixels():
    _, trial = asked(attacks.PointwiseAttack(), [0.38])
    # Black pixels gain 0.62 each when they turn white.
    assert trial.distances[0] == np.ceil((300 - 0.38 * 784) / 0.62)


def test_infinite_scores_fail_and_break_nothing():
    """Whatever leads by as much is no answer, and asks for no other."""
    found = {}
    for bright in (1.0, np.inf):
        inputs = keras.Input(data.IMAGE_SHAPE)
        mean = keras.ops.mean(inputs, axis=(1, 2, 3))
        second = keras.ops.where(mean > 0.4, bright, 0.0)
        scores = keras.ops.stack([0.5 + 0.0 * mean, second], axis=1)
        model = keras.Model(inputs, {"scores": scores})
        images = np.full((2, *data.IMAGE_SHAPE), 0.3, np.float32)
        examples = data.Examples(images, np.zeros(2, np.int64), np.arange(2))
        attack = attacks.InversionAttack()
        trial = protocol.Trial(model, "l2", examples)
        fmodel = foolbox_model(models.classifier(model))
        spec = AttackSpec("an_attack", "nothing", attack)
        search(spec, spec.runnable(), fmodel, trial)
        found[bright] = np.isfinite(trial.distances)
    assert found[1.0].all()
    assert not found[np.inf].any()
