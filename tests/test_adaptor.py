import inspect

import eagerpy
import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import sizes
from tiny_attacks import COUNT
from tiny_attacks import Brighten
from tiny_attacks import Fragile
from tiny_attacks import Noise
from tiny_attacks import Replace
from tiny_attacks import above
from tiny_nets import foolbox_model

from dim_tf.attacks import adaptor
from dim_tf.attacks.adaptor import frozen


@pytest.fixture(scope="module")
def net():
    return Fragile()


@pytest.fixture(scope="module")
def model(net):
    return foolbox_model(net)


GRAY = np.full((COUNT, 6, 6, 1), 0.5, np.float32)
ZEROS = np.zeros(COUNT, np.int64)


def test_attacks_are_foolboxs():
    for attack, kind in (
        (Noise(), foolbox.attacks.base.FixedEpsilonAttack),
        (Replace(), foolbox.attacks.base.MinimizationAttack),
    ):
        assert isinstance(attack, kind)
        call = inspect.signature(type(attack).__call__)
        assert call == inspect.signature(adaptor.Native.__call__)
    assert Noise().distance is foolbox.distances.linf
    assert Replace(norm="l1").distance is foolbox.distances.l1
    assert repr(Replace(pixels=3)).startswith("Replace(")
    with pytest.raises(TypeError):
        Noise(0.1)


@pytest.mark.parametrize("attack", [Noise(), Replace()], ids=repr)
def test_one_epsilon_or_several(attack, net, model):
    raw, clipped, success = attack(model, net.images, net.labels, epsilons=0.2)
    assert raw.shape == clipped.shape == net.images.shape
    assert success.shape == (COUNT,)
    assert success.dtype == tf.bool
    raws, clippeds, successes = attack(
        model, net.images, net.labels, epsilons=[0.001, 0.2]
    )
    assert isinstance(raws, list)
    assert isinstance(clippeds, list)
    assert len(raws) == len(clippeds) == 2
    assert successes.shape == (2, COUNT)
    np.testing.assert_array_equal(raws[1], raw)
    np.testing.assert_array_equal(clippeds[1], clipped)
    np.testing.assert_array_equal(successes[1], success)
    for tensor in (raw, clipped, success, *raws, *clippeds, successes):
        assert tf.is_tensor(tensor)
    raws, _, successes = attack(model, net.images, net.labels, epsilons=[0.2])
    assert len(raws) == 1
    assert successes.shape == (1, COUNT)


def test_no_epsilon(net, model):
    call = net.images, net.labels
    with pytest.raises(NotImplementedError, match="Noise needs an epsilon"):
        Noise()(model, *call, epsilons=[0.1, None])
    raw, clipped, success = Replace()(model, *call, epsilons=None)
    np.testing.assert_array_equal(raw, np.ones_like(raw))
    np.testing.assert_array_equal(clipped, raw)
    predictions = tf.argmax(net(raw), 1)
    np.testing.assert_array_equal(success, predictions != net.labels)


def test_run_returns_what_the_call_does_before_clipping(net, model):
    call = net.images, net.labels
    found = Noise().run(model, *call, epsilon=0.2)
    raw, _, _ = Noise()(model, *call, epsilons=0.2)
    np.testing.assert_array_equal(found, raw)
    found = Replace().run(model, *call, early_stop=0.1)
    np.testing.assert_array_equal(found, np.ones_like(found))
    # As attacks of foolbox ask for starting points.
    images = eagerpy.astensor(tf.constant(net.images))
    same = Noise().run(model, images, net.labels, epsilon=0.2)
    assert isinstance(same, eagerpy.Tensor)
    np.testing.assert_array_equal(same.raw, raw)


def test_runs_of_one_seed_are_not_those_of_another(net, model):
    call = model, net.images, net.labels

    def draws(seed):
        checked = Noise(seed=seed).check(*call)
        seen = []

        class Spy(Noise):
            def solve(self, samples, epsilons):
                seen.extend(map(tuple, samples.rows["seeds"].numpy()))
                return super().solve(samples, epsilons)

        Spy(seed=seed).repeat(3)(*call, epsilons=0.2)
        assert len(set(seen)) == 3 * len(checked)
        return set(seen)

    assert not draws(0) & draws(1)
    # As before there were seeds.
    assert {seed for seed, _ in draws(0)} == {0, 1, 2}


def test_a_rounding_does_not_leave_the_bounds(net):
    beyond = np.nextafter(np.float32(1), np.float32(2))
    model = foolbox_model(net)
    starts = np.ones_like(net.images)

    class Beyond(Replace):
        def start(self, problem, rows):
            state = super().start(problem, rows)
            return {**state, "result": state["result"] * beyond}

    raw, _, _ = Beyond()(
        model, net.images, net.labels, epsilons=None, starting_points=starts
    )
    assert raw.numpy().max() == 1


@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        tf.constant,
        lambda array: eagerpy.astensor(tf.constant(array)),
    ],
    ids=["numpy", "tensorflow", "eagerpy"],
)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_arguments_of_every_kind(kind, dtype, net, model):
    expected = Noise()(model, net.images, net.labels, epsilons=0.3)
    labels = kind(net.labels.numpy().astype(dtype))
    for criterion in (labels, foolbox.Misclassification(labels)):
        images = kind(net.images.numpy())
        outcome = Noise()(model, images, criterion, epsilons=0.3)
        for found, wanted in zip(outcome, expected, strict=True):
            assert tf.is_tensor(found)
            np.testing.assert_array_equal(found, wanted)


def test_misuse_is_told(net, model):
    images, labels = net.images, net.labels
    targets = foolbox.criteria.TargetedMisclassification(labels)
    with pytest.raises(ValueError, match="Brighten has no targeted form; exp"):
        Brighten()(model, images, targets, epsilons=0.1)
    with pytest.raises(TypeError, match="Noise got an unexpected keyword"):
        Noise()(model, images, labels, epsilons=0.1, steps=3)
    with pytest.raises(TypeError, match="unexpected .*'starting_points'"):
        Noise()(model, images, labels, epsilons=0.1, starting_points=images)
    with pytest.raises(ValueError, match="epsilons must be .* got -0.1"):
        Replace()(model, images, labels, epsilons=[0.1, -0.1])
    with pytest.raises(ValueError, match="epsilons must be .* got nan"):
        Noise().run(model, images, labels, epsilon=np.nan)
    with pytest.raises(ValueError, match="model's bounds"):
        Noise().repeat(2)(model, 2 * images, labels, epsilons=0.1)
    with pytest.raises(ValueError, match="times"):
        Noise().repeat(0)


def test_starting_points_reach_the_attack(net, model):
    raw, _, _ = Replace(pixels=0)(
        model,
        net.images,
        net.labels,
        epsilons=None,
        starting_points=1 - net.images,
    )
    np.testing.assert_array_equal(raw, 1 - net.images)


@pytest.mark.parametrize("together", [1, COUNT, 1000])
def test_success_never_falls_with_epsilon(together, monkeypatch):
    monkeypatch.setattr(adaptor, "GRID_ROWS", together)
    images = GRAY - np.linspace(0, 0.25, COUNT)[:, None, None, None]
    images = images.astype(np.float32)
    # To class 1, for which the rows lack up to a quarter, and out again.
    model = above(0.55, 0.75)
    epsilons = [0.3, 0.1, 0.2, 0.4, 0.0]
    raw, clipped, success = Brighten()(model, images, ZEROS, epsilons=epsilons)
    lack = 0.05 + np.linspace(0, 0.25, COUNT)
    for index, epsilon in enumerate(epsilons):
        np.testing.assert_array_equal(success[index], epsilon > lack)
    _, _, alone = Brighten()(model, images, ZEROS, epsilons=0.4)
    assert alone.numpy().sum() < success[3].numpy().sum()
    for row in range(COUNT):
        # What is found at the smallest epsilon is the answer at the others.
        sufficient = sorted(np.array(epsilons)[np.array(epsilons) > lack[row]])
        for index, epsilon in enumerate(epsilons):
            added = min(epsilon, *sufficient[:1]) if sufficient else epsilon
            for answer in (raw, clipped):
                np.testing.assert_allclose(
                    answer[index][row] - images[row], added, atol=1e-6
                )


@pytest.mark.parametrize(
    ("limit", "most", "expected"),
    [
        ("GRID_ROWS", 1, [6, 5, 4, 2]),
        ("GRID_ROWS", 10, [6, 10, 2]),
        ("GRID_VALUES", 10 * 36, [6, 10, 2]),
    ],
)
def test_what_is_found_is_not_attacked_again(
    limit, most, expected, monkeypatch
):
    seen = []

    @frozen
    class Logged(Brighten):
        def perturb(self, problem, epsilon, prepared):
            log = lambda epsilon: seen.append(len(epsilon))  # noqa: E731
            tf.py_function(log, [epsilon], [])
            return super().perturb(problem, epsilon, prepared)

    images = GRAY - np.linspace(0, 0.25, COUNT)[:, None, None, None]
    images = images.astype(np.float32)
    monkeypatch.setattr(adaptor, limit, most)
    Logged()(above(0.55), images, ZEROS, epsilons=[0.4, 0.08, 0.12, 0.22])
    assert seen == expected


def test_perturbations_are_clipped_and_judged_again():
    # White is farther than any epsilon; on the way to it lies class 1.
    epsilons = [1.0, 2.0, None]
    raw, clipped, success = Replace()(
        above(0.7, 0.9), GRAY, ZEROS, epsilons=epsilons
    )
    np.testing.assert_array_equal(success[:, 0], [False, True, False])
    for index, expected in enumerate((1.0, 2.0, 3.0)):
        np.testing.assert_array_equal(raw[index], np.ones_like(GRAY))
        measured = sizes("l2", clipped[index] - GRAY)
        np.testing.assert_allclose(measured, expected, rtol=1e-6)


def test_l0_perturbations_that_are_too_large_fail():
    raw, clipped, success = Replace(norm="l0", pixels=5)(
        above(0.55), GRAY, ZEROS, epsilons=[4, 5, None]
    )
    np.testing.assert_array_equal(success[:, 0], [False, True, True])
    np.testing.assert_array_equal(clipped[0], GRAY)
    np.testing.assert_array_equal(clipped[1], raw[1])
    np.testing.assert_array_equal(sizes("l0", raw[0] - GRAY), [5] * COUNT)
