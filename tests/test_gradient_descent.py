import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import check_budget
from closed_forms import flat
from closed_forms import linear
from tiny_nets import TinyNet
from tiny_nets import foolbox_model

from dim_tf.attacks import gradient_descent
from dim_tf.attacks import samples
from dim_tf.attacks import splitmix
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.problem import LOSSES

NORM_NAMES = {"l1": "L1", "l2": "L2", "linf": "Linf"}
KINDS = ("FastGradient", "BasicIterative", "ProjectedGradientDescent")
# About where half of the tiny net's images are fooled.
EPSILONS = {"l1": 6.0, "l2": 1.2, "linf": 0.2}
TARGETED = foolbox.criteria.TargetedMisclassification


def attack_class(norm, kind, module=gradient_descent):
    return getattr(module, f"{NORM_NAMES[norm]}{kind}Attack")


@pytest.fixture(scope="module")
def net():
    return TinyNet(6)


@pytest.fixture(scope="module")
def model(net):
    return foolbox_model(net)


def starts_of(norm, images, epsilon, seed=0):
    """The random starts of images, in the unit ball and their shape."""
    count = len(images)
    checked = samples.check(
        foolbox_model(TinyNet(1)), images, np.zeros(count, np.int64), seed=seed
    )
    seeds = splitmix.seeds_within(
        checked.rows["seeds"], tf.fill((count, 1), np.float32(epsilon))
    )
    starts = NORMS[norm].random_start(seeds, PIXELS)
    return tf.reshape(starts, images.shape)


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize("share", [0.98, 1.02])
def test_closed_form_on_a_linear_model(norm, kind, share, weights, generator):
    images = generator.uniform(0.45, 0.55, (1, *SHAPE)).astype(np.float32)
    # Too little to meet the bounds.
    epsilon = {"l1": 0.2, "l2": 0.1, "linf": 0.05}[norm]
    expected = {
        "l1": weights / np.abs(weights).sum(),
        "l2": weights / np.linalg.norm(weights),
        "linf": np.sign(weights),
    }[norm]
    reach = epsilon * (expected @ weights)
    score = linear(weights, images.ravel() @ weights + reach / share)
    raw, clipped, success = attack_class(norm, kind)()(
        foolbox_model(score), images, [0], epsilons=epsilon
    )
    assert bool(success[0]) == (share > 1)
    for answer in (raw, clipped):
        change = np.ravel(answer - images)
        np.testing.assert_allclose(change, epsilon * expected, atol=1e-6)
    back, _, _ = attack_class(norm, kind)()(
        foolbox_model(score),
        images,
        TARGETED(tf.constant([0])),
        epsilons=epsilon,
    )
    change = np.ravel(back - images)
    np.testing.assert_allclose(change, -epsilon * expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("share", [0.98, 1.02])
def test_many_steps_find_what_the_closed_form_allows(
    norm, share, weights, generator
):
    images = generator.uniform(0.4, 0.6, (5, *SHAPE)).astype(np.float32)
    dual = np.linalg.norm(weights, {"l2": 2, "linf": 1}[norm])
    optima = np.linspace(0.02, 0.1, 5)
    activations = images.reshape(5, -1) @ weights
    shift = activations[0] + optima[0] * dual - activations - optima * dual
    images += (shift[:, None] * weights / (weights @ weights)).reshape(
        5, *SHAPE
    )
    model = foolbox_model(linear(weights, activations[0] + optima[0] * dual))
    _, clipped, success = attack_class(norm, KINDS[2])(steps=200)(
        model, images, np.zeros(5, np.int64), epsilons=list(share * optima)
    )
    expected = np.arange(5)[None] <= np.arange(5)[:, None]
    if share < 1:
        expected &= ~np.eye(5, dtype=bool)
    np.testing.assert_array_equal(success, expected)
    for epsilon, answer in zip(share * optima, clipped, strict=True):
        check_budget(answer.numpy(), images, norm, epsilon)


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_budgets_hold_at_the_edges(norm, kind, weights, generator):
    images = generator.choice([0.0, 1.0, 0.3], (5, *SHAPE)).astype(np.float32)
    epsilons = EPSILONS[norm] * np.array([0.0, 0.3, 1.0, 4.0])
    model = foolbox_model(linear(weights, 100.0))  # out of reach
    raw, clipped, success = attack_class(norm, kind)()(
        model, images, np.zeros(5, np.int64), epsilons=epsilons
    )
    assert not success.numpy().any()
    for answers in (raw, clipped):
        for epsilon, answer in zip(epsilons, answers, strict=True):
            check_budget(answer.numpy(), images, norm, epsilon * (1 + 1e-6))
            assert (answer.numpy() != images).any() == (epsilon > 0)


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_hyper_parameters_are_foolboxs(norm, kind):
    ours = attack_class(norm, kind)()
    theirs = attack_class(norm, kind, foolbox.attacks)()
    for name, value in vars(theirs).items():
        assert getattr(ours, name) == value, name
    assert ours.distance is theirs.distance


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 1, "rel_stepsize": 1.0, "random_start": False},
        {"steps": 2, "rel_stepsize": 0.2, "random_start": False},
        {"steps": 10, "rel_stepsize": 0.2, "random_start": False},
        {"steps": 3, "abs_stepsize": 0.1, "random_start": False},
        {"steps": 1, "rel_stepsize": 0.1, "random_start": True},
        {"steps": 10, "rel_stepsize": 0.025, "random_start": True},
    ],
    ids=str,
)
def test_steps_are_foolboxs(norm, targeted, settings, net, model, monkeypatch):
    images, epsilon = net.images, EPSILONS[norm]
    criterion = TARGETED((net.labels + 1) % 3) if targeted else net.labels
    theirs = attack_class(norm, KINDS[2], foolbox.attacks)
    start = starts_of(norm, images, epsilon)
    monkeypatch.setattr(
        theirs, "get_random_start", lambda self, x0, size: x0 + size * start
    )
    ours = attack_class(norm, KINDS[2])
    outcome = ours(**settings)(model, images, criterion, epsilons=epsilon)
    expected = theirs(**settings)(model, images, criterion, epsilons=epsilon)
    for found, wanted in zip(outcome[:2], expected[:2], strict=True):
        # foolbox subtracts a probability from one, and loses digits.
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    np.testing.assert_array_equal(outcome[2], expected[2])


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [2.0**-60, 2.0**5, 2.0**60])
def test_larger_scores_are_no_defense(norm, kind, factor, weights, generator):
    """foolbox leaves the images where scores are far apart, or all tiny.

    Of two classes not even the direction changes.
    """
    images = generator.uniform(0.45, 0.55, (5, *SHAPE)).astype(np.float32)
    offset = (images.reshape(5, -1) @ weights).max() + 1.0
    attack, epsilon = attack_class(norm, kind)(), EPSILONS[norm]
    labels = np.zeros(5, np.int64)
    plain, scaled = (
        attack(
            foolbox_model(linear(size * weights, size * offset)),
            images,
            labels,
            epsilons=epsilon,
        )
        for size in (1.0, factor)
    )
    np.testing.assert_allclose(scaled[0], plain[0], atol=1e-6)
    assert (plain[0].numpy() != images).any()


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_without_a_gradient_nothing_moves(norm, jit_compile, net):
    attack = attack_class(norm, KINDS[1])(jit_compile=jit_compile)
    found, _, success = attack(
        foolbox_model(flat), net.images, np.zeros(6, np.int64), epsilons=1.0
    )
    np.testing.assert_array_equal(found, net.images)
    assert not success.numpy().any()


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_leads_to_adversarials(loss, net, model):
    attack = gradient_descent.LinfBasicIterativeAttack(loss=loss)
    _, _, success = attack(model, net.images, net.labels, epsilons=0.5)
    assert success.numpy().all()
    with pytest.raises(ValueError, match="loss must be one of log_odds, cros"):
        gradient_descent.LinfBasicIterativeAttack(loss="hinge")


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_along_the_cross_entropy_steps_are_foolbox_s(norm, factor, net):
    """With scores so large that it is flat, too."""
    call = foolbox_model(lambda images: factor * net(images)), net.images
    steps = [
        attack(*call, net.labels, epsilons=EPSILONS[norm])[1]
        for attack in (
            attack_class(norm, KINDS[1], foolbox.attacks)(),
            attack_class(norm, KINDS[1])(loss="cross_entropy"),
            attack_class(norm, KINDS[1])(),
        )
    ]
    np.testing.assert_allclose(steps[1], steps[0], atol=1e-6)
    away = np.abs(steps[2] - steps[0]).max()
    assert (away < 1e-4) == (factor == 1.0)


@pytest.mark.parametrize("norm", NORM_NAMES)
def test_random_starts_follow_the_seed(norm, net, model):
    attack = attack_class(norm, KINDS[2])
    call = model, net.images, net.labels
    settings = {"steps": 1, "rel_stepsize": 0.01}
    first = attack(**settings)(*call, epsilons=0.3)[0].numpy()
    again = attack(**settings)(*call, epsilons=0.3)[0].numpy()
    other = attack(seed=1, **settings)(*call, epsilons=0.3)[0].numpy()
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("norm", NORM_NAMES)
def test_every_epsilon_has_a_start_of_its_own(norm, net, model):
    attack = attack_class(norm, KINDS[2])(steps=1, abs_stepsize=0.0)
    images = 0.25 + net.images / 2  # away from the bounds
    moves = []
    for epsilon in (0.1, 0.2):
        raw, _, _ = attack(model, images, net.labels, epsilons=epsilon)
        moves.append(np.reshape(raw - images, (-1, PIXELS)))
    for one, other in zip(*moves, strict=True):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.7


@pytest.mark.parametrize("norm", NORM_NAMES)
def test_xla_takes_the_same_steps(norm, net, model):
    outcomes = [
        attack_class(norm, KINDS[2])(steps=5, jit_compile=jit_compile)(
            model, net.images, net.labels, epsilons=EPSILONS[norm]
        )
        for jit_compile in (False, True)
    ]
    for plain, compiled in zip(*outcomes, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"rel_stepsize": -1.0}, "rel_stepsize must be at least 0, got -1.0"),
        ({"abs_stepsize": -1.0}, "abs_stepsize must be at least 0, got -1.0"),
        ({"quantile": 1.5}, "quantile must be between 0 and 1, got 1.5"),
        ({"projection": "l2"}, "projection must be one of exact, foolbox, got"),
    ],
    ids=str,
)
def test_misuse_is_told(settings, message):
    with pytest.raises(ValueError, match=message):
        gradient_descent.SparseL1DescentAttack(**settings)


def test_a_length_of_steps_alone_is_enough():
    attack = gradient_descent.LinfProjectedGradientDescentAttack(
        abs_stepsize=0.01, rel_stepsize=None
    )
    assert attack.abs_stepsize == 0.01
