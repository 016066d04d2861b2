import itertools

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model

from dim_tf.attacks import additive_noise
from dim_tf.attacks.problem import Problem

EPSILON = {"l2": 1.0, "linf": 0.3}
ATTACKS = [
    value
    for name, value in vars(additive_noise).items()
    if name.endswith("NoiseAttack")
]
REPEATED = [kind for kind in ATTACKS if "Repeated" in kind.__name__]
SINGLE = [kind for kind in ATTACKS if "Repeated" not in kind.__name__]


def changes(kind, epsilon, **settings):
    raw, _, _ = kind(**settings)(
        MODEL, NET.images, NET.labels, epsilons=epsilon
    )
    return (raw.numpy() - NET.images.numpy()).reshape(len(raw), -1)


def test_every_kind_of_foolbox_is_there():
    names = {
        name
        for name in dir(foolbox.attacks)
        if name.endswith("AdditiveGaussianNoiseAttack")
        or name.endswith("AdditiveUniformNoiseAttack")
    }
    assert names == {kind.__name__ for kind in ATTACKS}


@pytest.mark.parametrize("kind", SINGLE)
def test_noise_is_as_large_as_asked_for(kind):
    epsilon = EPSILON[kind.norm]
    order = {"l2": 2, "linf": np.inf}[kind.norm]
    sizes = np.linalg.norm(changes(kind, epsilon), order, axis=1)
    assert (sizes <= epsilon + 1e-5).all()
    if "ClippingAware" in kind.__name__:
        np.testing.assert_allclose(sizes, epsilon, rtol=1e-5)
    else:
        # Some of it is lost to the bounds, but not much.
        assert (sizes > 0.6 * epsilon).all()


@pytest.mark.parametrize("kind", SINGLE)
def test_noise_differs_between_images_seeds_and_epsilons(kind):
    first = changes(kind, EPSILON[kind.norm] / 100)
    same = changes(kind, EPSILON[kind.norm] / 100)
    np.testing.assert_array_equal(first, same)
    larger = changes(kind, EPSILON[kind.norm] / 50)
    other = changes(kind, EPSILON[kind.norm] / 100, seed=1)
    for another in (first[1], other[0], larger[0]):
        one = first[0]
        assert abs(np.corrcoef(one, another)[0, 1]) < 0.5


def test_noise_differs_between_attacks():
    for one, other in itertools.combinations(SINGLE, 2):
        first, second = (
            changes(kind, EPSILON[kind.norm] / 100)[0] for kind in (one, other)
        )
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.5


@pytest.mark.parametrize("kind", ATTACKS, ids=lambda kind: kind.__name__)
def test_noise_is_of_the_kind_that_its_name_says(kind):
    images = np.full((4, 64, 64, 1), 0.5, np.float32)

    def fooled(images):
        # A repeated attack then answers with its first draw.
        moved = tf.reduce_any(images != 0.5, (1, 2, 3))
        return tf.one_hot(tf.cast(moved, tf.int32), 2)

    raw, _, _ = kind()(
        foolbox_model(fooled), images, np.zeros(4, int), epsilons=1e-2
    )
    noise = (raw.numpy() - images).astype(np.float64)
    kurtosis = np.mean(noise**4) / np.mean(noise**2) ** 2
    expected = 3.0 if "Gaussian" in kind.__name__ else 1.8
    np.testing.assert_allclose(kurtosis, expected, rtol=0.1)


@pytest.mark.parametrize("pixels", [36, 784])
@pytest.mark.parametrize("epsilon", [0.05, 1.5, 6.0, 100.0])
def test_clipping_aware_scaling_agrees_with_foolbox(generator, pixels, epsilon):
    images = generator.uniform(0, 1, (20, pixels))
    images = np.where(generator.uniform(size=images.shape) < 0.5, 0, images)
    images = images.astype(np.float32)
    draws = generator.normal(size=(20, 1, pixels)).astype(np.float32)
    problem = type("", (), {"images": tf.constant(images), "bounds": (0, 1)})
    scaled = additive_noise.clipping_aware(
        problem, tf.constant(draws), tf.fill((20, 1, 1), epsilon)
    )
    reference = foolbox.external.clipping_aware_rescaling
    factor = reference.l2_clipping_aware_rescaling(
        tf.constant(images), tf.constant(draws[:, 0]), epsilon
    )

    def size(noise):
        moved = np.clip(images + noise, 0, 1)
        return np.linalg.norm(moved - images, axis=1)

    ours, theirs = size(scaled[:, 0]), size(factor * draws[:, 0])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    room = np.linalg.norm(np.where(draws[:, 0] > 0, 1 - images, images), axis=1)
    np.testing.assert_allclose(ours, np.minimum(epsilon, room), rtol=1e-5)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("kind", REPEATED)
def test_repeated_noise_keeps_the_first_draw_that_fools(kind, targeted):
    attack = kind(repeats=40)
    epsilon = 3.0 if kind.norm == "l2" else 0.6
    images, labels = NET.images, NET.labels
    goals = criterion = labels
    if targeted:
        goals = (labels + 1) % 3
        criterion = foolbox.criteria.TargetedMisclassification(goals)
    raw, _, success = attack(MODEL, images, criterion, epsilons=epsilon)
    problem = Problem(
        **attack.check(MODEL, images, criterion).rows,
        targeted=targeted,
        model=NET,
        shape=images.shape[1:],
        bounds=(0.0, 1.0),
    )
    tried = attack.perturbed(
        problem, tf.fill((len(labels), 1), epsilon), tf.range(40)[None]
    )
    tried = tf.reshape(tried, (len(labels), 40, *images.shape[1:]))
    firsts = []
    for index, goal in enumerate(goals.numpy()):
        fools = (np.argmax(NET(tried[index]), 1) == goal) == targeted
        assert success[index] == fools.any()
        expected = (
            tried[index, fools.argmax()] if fools.any() else images[index]
        )
        np.testing.assert_allclose(raw[index], expected, atol=1e-6)
        firsts.append(fools.argmax())
    assert success.numpy().any()
    assert max(firsts) > 0


@pytest.mark.parametrize("check_trivial", [True, False])
def test_repeated_noise_leaves_misclassified_images_if_asked_to(check_trivial):
    attack = additive_noise.L2RepeatedAdditiveUniformNoiseAttack(
        repeats=5, check_trivial=check_trivial
    )
    wrong = (NET.labels + 1) % 3
    raw, _, success = attack(MODEL, NET.images, wrong, epsilons=0.1)
    assert success.numpy().all()
    assert (raw.numpy() == NET.images.numpy()).all() == check_trivial


@pytest.mark.parametrize("kind", [REPEATED[0], SINGLE[0]])
def test_neighbors_change_nothing(kind):
    check_rows_are_independent(kind(), epsilons=2.0)


def test_xla_repeats_the_same():
    # Single draws of every scaling are among test_invariances' attacks.
    kind = additive_noise.L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack
    plain = changes(kind, 3.0)
    assert plain.any()
    np.testing.assert_allclose(
        changes(kind, 3.0, jit_compile=True), plain, atol=1e-5
    )


def test_scores_that_are_no_numbers_are_no_success():
    model = foolbox_model(lambda images: NET(images) * np.nan)
    for kind in (REPEATED[0], SINGLE[0]):
        raw, _, success = kind()(model, NET.images, NET.labels, epsilons=1.0)
        assert not success.numpy().any()
        assert np.isfinite(raw).all()
