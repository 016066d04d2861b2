import foolbox
import numpy as np
import pytest
from closed_forms import sizes
from tiny_attacks import COUNT
from tiny_attacks import Fragile
from tiny_attacks import Noise
from tiny_attacks import Replace
from tiny_nets import foolbox_model

from dim_tf.attacks import calling


@pytest.fixture(scope="module")
def net():
    return Fragile()


@pytest.fixture(scope="module")
def model(net):
    return foolbox_model(net)


def test_repeat_is_the_best_of_runs_with_other_seeds(net, model):
    call = net.images, net.labels
    epsilons = [0.1, 0.3]
    outcome = Noise(seed=3).repeat(4)(model, *call, epsilons=epsilons)
    runs = [
        Noise(seed=4 * 3 + run)(model, *call, epsilons=epsilons)
        for run in range(4)
    ]
    assert 0 < np.sum(outcome[2]) < 2 * COUNT
    assert np.sum(outcome[2]) > max(np.sum(run[2]) for run in runs)
    for index in range(2):
        changes = [run[1][index] - net.images for run in runs]
        distances = np.stack([sizes("linf", change) for change in changes])
        failed = ~np.stack([run[2][index] for run in runs])
        distances[failed] = np.inf
        best = distances.argmin(axis=0)
        np.testing.assert_array_equal(outcome[2][index], ~failed.all(axis=0))
        for row, run in enumerate(best):
            for kind in (0, 1):
                np.testing.assert_allclose(
                    outcome[kind][index][row],
                    runs[run][kind][index][row],
                    atol=1e-6,
                )


def test_repeat_at_one_epsilon(net, model):
    repeated = Noise().repeat(2).repeat(3)
    assert repeated.times == 6
    assert repeated.distance is foolbox.distances.linf
    raw, clipped, success = repeated(
        model, net.images, net.labels, epsilons=0.5
    )
    assert raw.shape == clipped.shape == net.images.shape
    assert success.shape == (COUNT,)


def test_repeat_of_a_minimization_attack(net, model):
    once = Replace()(model, net.images, net.labels, epsilons=None)
    twice = Replace().repeat(2)(model, net.images, net.labels, epsilons=None)
    for found, wanted in zip(twice, once, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_results_follow_the_image_and_not_its_place(net, model):
    images, labels = net.images.numpy(), net.labels.numpy()
    epsilons = [0.3, 0.5]
    for attack in (Noise(), Noise(seed=5), Noise().repeat(3)):
        whole = attack(model, images, labels, epsilons=epsilons)
        for part in ([4, 2, 5, 0, 3, 1], [3], [1, 0], [2, 2, 2]):
            outcome = attack(
                model, images[part], labels[part], epsilons=epsilons
            )
            for found, wanted in zip(outcome, whole, strict=True):
                wanted = np.stack(wanted)[:, part]
                np.testing.assert_allclose(found, wanted, atol=1e-6)
    other = Noise(seed=5)(model, images, labels, epsilons=0.3)[0]
    first = Noise()(model, images, labels, epsilons=0.3)[0]
    assert (other != first).numpy().any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(
    ("attack", "sizes_of_blocks"),
    [
        (Noise(), [4, 2]),
        (Replace(), [4, 2]),
        (Noise().repeat(2), [4, 4, 4]),
        (Noise().repeat(9), [9] * COUNT),
    ],
    ids=repr,
)
def test_many_samples_are_attacked_in_blocks(
    attack, sizes_of_blocks, net, model, monkeypatch
):
    call = model, net.images, net.labels
    whole = attack(*call, epsilons=[0.3, 0.5])
    seen = []
    kind = type(getattr(attack, "attack", attack))
    solve = kind.solve

    def count(self, samples, epsilons):
        seen.append(len(samples))
        return solve(self, samples, epsilons)

    monkeypatch.setattr(calling, "BLOCK_ROWS", 4)
    monkeypatch.setattr(kind, "solve", count)
    blocks = attack(*call, epsilons=[0.3, 0.5])
    assert seen == sizes_of_blocks
    for found, wanted in zip(blocks, whole, strict=True):
        np.testing.assert_allclose(found, np.stack(wanted), atol=1e-6)
