import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import check_budget
from closed_forms import constant
from closed_forms import linear
from closed_forms import not_a_number
from closed_forms import sizes
from tiny_nets import CLASSES
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model

from dim_tf.attacks import adaptor
from dim_tf.attacks import l1_ball
from dim_tf.attacks import speculation
from dim_tf.attacks import splitmix
from dim_tf.attacks.hills import L1Hills
from dim_tf.attacks.hills import L2Hills
from dim_tf.attacks.hills import two_hills
from dim_tf.attacks.problem import Problem
from dim_tf.attacks.square import SquareAttack
from dim_tf.attacks.squares import levels

BALLS = pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
HILLS = pytest.mark.parametrize("kind", [L1Hills, L2Hills])
EPSILONS = {"l1": 3.0, "l2": 0.8, "linf": 0.1}


def run(score, images, labels, epsilons, **settings):
    _, adversarials, success = SquareAttack(**settings)(
        foolbox_model(score), images, labels, epsilons=epsilons
    )
    return np.asarray(adversarials), success.numpy()


def test_it_finds_the_corner_of_a_linear_model(weights):
    """What one sign for each pixel can reach, it nearly reaches."""
    images = np.full((4, *SHAPE), 0.5, np.float32)
    activation = images[0].ravel() @ weights
    epsilon = 0.1
    whole = epsilon * np.abs(weights).sum()
    for share, reached in ((0.97, True), (1.01, False)):
        score = linear(weights, activation + share * whole)
        adversarials, success = run(
            score, images, np.zeros(4, int), epsilon, queries=2000
        )
        assert (success == reached).all()
        check_budget(adversarials, images, "linf", epsilon)


def test_in_l2_it_finds_most_of_the_way_to_a_smooth_plane():
    """Two hills are near enough to what its patterns can be."""
    middle = (np.arange(6) + 0.5) / 6
    hills = np.outer(np.sin(np.pi * middle), np.sin(2 * np.pi * middle))
    weights = hills.ravel().astype(np.float32)
    images = np.full((4, *SHAPE), 0.5, np.float32)
    epsilon = 0.5
    whole = epsilon * np.linalg.norm(weights)
    activation = images[0].ravel() @ weights
    for share, reached in ((0.85, True), (1.01, False)):
        score = linear(weights, activation + share * whole)
        adversarials, success = run(
            score, images, np.zeros(4, int), epsilon, norm="l2", queries=2000
        )
        assert (success == reached).all()
        check_budget(adversarials, images, "l2", epsilon)


@BALLS
def test_answers_use_all_of_epsilon(norm):
    adversarials, _ = run(
        NET, NET.images, NET.labels, EPSILONS[norm], norm=norm, queries=50
    )
    change = adversarials - NET.images.numpy()
    found = sizes(norm, change)
    # Clipped to the bounds, less may be left.
    assert (found <= EPSILONS[norm] * (1 + 1e-6)).all()
    assert (found > 0.5 * EPSILONS[norm]).all()
    if norm == "linf":
        inside = (adversarials > 0) & (adversarials < 1)
        np.testing.assert_allclose(np.abs(change)[inside], EPSILONS[norm], 1e-4)


@BALLS
@pytest.mark.parametrize("rows", [1, 8])
def test_the_answer_is_that_of_one_query_at_a_time(norm, rows, monkeypatch):
    call = (NET, NET.images[:rows], NET.labels[:rows], EPSILONS[norm] / 2)
    many, _ = run(*call, norm=norm, queries=150)
    monkeypatch.setattr(speculation, "ROWS", 1)
    one, _ = run(*call, norm=norm, queries=150)
    np.testing.assert_allclose(many, one, 0, 1e-6)


@BALLS
def test_calls_are_no_larger_than_memory_allows(norm, monkeypatch):
    def run_logged():
        seen = []

        def logged(images):
            log = lambda images: seen.append(len(images))  # noqa: E731
            tf.py_function(log, [images], [])
            return NET(images)

        call = (NET.images[:2], NET.labels[:2], EPSILONS[norm] / 2)
        found, _ = run(logged, *call, norm=norm, queries=150)
        return found, max(seen)

    free, largest = run_logged()
    assert largest == speculation.ROWS
    for most, expected in ((10, 10), (1, 2)):
        monkeypatch.setattr(adaptor, "GRID_VALUES", most * PIXELS)
        found, largest = run_logged()
        # But for one candidate of each image.
        assert largest == expected
        np.testing.assert_allclose(found, free, 0, 1e-6)


def test_squares_shrink_as_in_the_paper():
    halved = levels(10000)
    for query, level in ((10, 0), (11, 1), (51, 2), (201, 3), (8001, 9)):
        assert halved[query] == level
    np.testing.assert_array_equal(levels(5000), halved[::2])


@HILLS
@pytest.mark.parametrize("side", [1, 3, 5, 6, 25])
def test_a_pattern_is_of_unit_size_and_goes_both_ways(kind, side):
    hills = two_hills(side, kind.exponent, kind.decay)
    assert hills.shape == (side, side)
    np.testing.assert_allclose(
        np.linalg.norm(hills.ravel(), kind.exponent), 1, 1e-6
    )
    assert (hills[: side // 2] > 0).all()
    if side > 1:
        assert (hills[side // 2 :] < 0).all()


def test_hills_fall_off_as_in_the_paper():
    """By the second power of the distance, in L1 by the fourth."""
    for decay, exponent in ((2, 2), (4, 1)):
        middle = two_hills(5, exponent, decay)[1]
        sums = np.cumsum([1.0 / 3**decay, 1.0 / 2**decay, 1.0])
        expected = np.array([*sums, *sums[1::-1]])
        np.testing.assert_allclose(middle / middle[2], expected / sums[2])


def proposal(
    image, change, epsilon, side, corner, emptied, signs, hills, exponent
):
    """One of the authors', a square at a time, before it is put into the ball.

    In L2 it is that of algorithm 3 of the paper.
    """
    height, width, channels = image.shape
    first, second = (
        (slice(row, row + side), slice(column, column + side))
        for row, column in (corner, emptied)
    )
    both = np.zeros((height, width), bool)
    both[first] = both[second] = True

    def power(values):
        return np.sum(np.abs(values) ** exponent)

    def size(values):
        return power(values) ** (1 / exponent)

    unused = max(epsilon**exponent - power(change), 0) / channels
    moved = change.copy()
    moved[second] = 0
    for channel in range(channels):
        old = change[first][..., channel]
        new = signs[channel] * hills + old / (size(old) + 1e-12)
        room = unused + power(change[both][:, channel])
        if exponent == 1:
            room *= channels
        moved[(*first, channel)] = room ** (1 / exponent) * new / size(new)
    return moved


# Of which the change has more, or leaves some.
@pytest.mark.parametrize("share", [0.9, 1.2])
@HILLS
def test_proposals_are_the_authors_(kind, share, generator):
    shape, count = (12, 10, 2), 40
    images = generator.uniform(0, 1, (1, *shape)).astype(np.float32)
    change = generator.normal(0, 0.05, shape)
    size = np.linalg.norm(change.ravel(), kind.exponent)
    epsilon = np.float32(share * size)
    problem = Problem(
        images=tf.constant(images.reshape(1, -1)),
        classes=tf.zeros(1, tf.int64),
        seeds=tf.constant([[3, 4]]),
        targeted=False,
        model=None,
        shape=shape,
        bounds=(0.0, 1.0),
    )
    squares = kind(problem, tf.constant([[epsilon]]), 0.8)
    queries = tf.range(count)[None]
    level = np.arange(count) % 10
    proposals = squares.proposals(
        tf.constant((images[0] + change).reshape(1, -1), tf.float32),
        queries,
        tf.constant(level[None], tf.int32),
    ).numpy()
    draws = splitmix.uniform(squares.seeds, 7, 1, queries)[0].numpy()
    assert {squares.sides[each] for each in level} == {3, 5, 7, 10}
    for query in range(count):
        side, draw = squares.sides[level[query]], draws[query]
        room = np.array([12, 10, 12, 10]) - side + 1
        rows = np.floor(draw[:4] * room).astype(int)
        hills = two_hills(side, kind.exponent, kind.decay)
        moved = proposal(
            images[0],
            change,
            epsilon,
            side,
            rows[:2],
            rows[2:],
            np.where(draw[5:] < 0.5, -1, 1),
            hills if draw[4] < 0.5 else hills.T,
            kind.exponent,
        )
        if kind.exponent == 2:
            moved *= epsilon / np.linalg.norm(moved)
            expected = np.clip(images[0] + moved, 0, 1)
        else:
            expected = l1_ball.restrict(
                problem,
                tf.constant((images[0] + moved).reshape(1, -1), tf.float32),
                epsilon,
            ).numpy()
        np.testing.assert_allclose(
            proposals[0, query].ravel(), expected.ravel(), 0, 1e-5
        )


@BALLS
def test_colors_and_sides_of_any_length(norm):
    """The last color of some columns is what the model looks at."""
    shape = (9, 14, 3)

    def score(images):
        change = tf.reduce_sum(images[:, :, 3:7, 2] - 0.5, (1, 2))
        return tf.stack([0.0 * change, change - 1.0], 1)

    images = np.full((3, *shape), 0.5, np.float32)
    epsilon = {"l1": 10.0, "l2": 1.0, "linf": 0.1}[norm]
    adversarials, success = run(
        score, images, np.zeros(3, int), epsilon, norm=norm, queries=500
    )
    assert success.all()
    check_budget(adversarials, images, norm, epsilon)


@BALLS
def test_neighbors_change_nothing(norm):
    attack = SquareAttack(norm=norm, queries=100)
    check_rows_are_independent(attack, EPSILONS[norm])


@BALLS
def test_hostile_models_are_not_fooled(norm):
    images = np.full((2, *SHAPE), 0.5, np.float32)
    epsilon = EPSILONS[norm]
    for score in (constant, not_a_number):
        adversarials, success = run(
            score, images, np.zeros(2, int), epsilon, norm=norm, queries=50
        )
        assert not success.any()
        check_budget(adversarials, images, norm, epsilon)


@BALLS
def test_a_class_is_reached(norm):
    classes = (NET.labels + 1) % CLASSES
    goal = foolbox.criteria.TargetedMisclassification(classes)
    _, adversarials, success = SquareAttack(norm=norm)(
        MODEL, NET.images, goal, epsilons=5 * EPSILONS[norm]
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(np.argmax(NET(adversarials), 1), classes)


def test_refuses():
    with pytest.raises(ValueError, match="norm must be one of l1, l2, linf"):
        SquareAttack(norm="l0")
    with pytest.raises(ValueError, match="area must be above 0 and at most 1"):
        SquareAttack(area=1.5)
    flat = NET.images.numpy().reshape(-1, PIXELS)
    model = foolbox_model(lambda images: NET(images))
    with pytest.raises(ValueError, match="needs images .batch, height"):
        SquareAttack()(model, flat, NET.labels, epsilons=0.1)
