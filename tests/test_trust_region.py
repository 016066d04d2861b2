import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from closed_forms import sizes
from scipy import optimize

from dim_tf.attacks.trust_region import Place
from dim_tf.attacks.trust_region import best_step
from dim_tf.attacks.trust_region import shortest_step

ALL_NORMS = pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
PIXELS = 9
FAR = 1e3
FIELDS = [field.name for field in dataclasses.fields(Place)]


def random_place(**fields):
    """Random images, of which a few pixels are those of the originals."""
    generator = np.random.default_rng(0)
    originals, current = generator.uniform(size=(2, 20, PIXELS))
    same = generator.uniform(size=current.shape) < 0.3
    current = np.where(same, originals, current)
    normal = generator.normal(size=current.shape)
    return place(
        home=originals - current,
        lower=-current,
        upper=1 - current,
        normal=normal / lengths(normal),
        **{"gap": generator.normal(0, 0.3, (20, 1)), **fields},
    )


def place(radius=FAR, slope=1.0, **fields):
    rows = (len(fields["home"]), 1)
    for name, value in {"radius": radius, "slope": slope, **fields}.items():
        value = np.float32(value)
        if name in ("radius", "slope", "gap"):
            value = np.broadcast_to(value, rows)
        fields[name] = tf.constant(value)
    return Place(**fields)


def in_numpy(place):
    return Place(*[np.float64(getattr(place, name)) for name in FIELDS])


def row(place, index):
    """A place of a single row, which is a slice or an int."""
    return Place(*[getattr(place, name)[index] for name in FIELDS])


def rows(place):
    place = in_numpy(place)
    return [row(place, index) for index in range(len(place.gap))]


def lengths(steps):
    return np.linalg.norm(steps, axis=1, keepdims=True)


def distances(norm, place, step):
    """How far from home the steps end."""
    change = in_numpy(place).home - step
    if norm == "l0":
        change = np.where(np.abs(change) > 1e-5, change, 0)
    return sizes(norm, change)


def check_constraints(place, step):
    known = in_numpy(place)
    assert (step >= known.lower - 1e-6).all()
    assert (step <= known.upper + 1e-6).all()
    assert (lengths(step) <= known.radius * (1 + 1e-5)).all()
    reached = (known.normal * step).sum(1, keepdims=True)
    np.testing.assert_allclose(reached, known.gap, 0, 1e-5)


def by_linear_program(norm):
    """Distances of the best steps, as a function of one row's place."""
    slack = np.eye(PIXELS) if norm == "l1" else np.ones((PIXELS, 1))
    count = slack.shape[1]
    pixels = np.eye(PIXELS)

    def solve(place):
        return optimize.linprog(
            np.r_[np.zeros(PIXELS), np.ones(count)],
            np.block([[pixels, -slack], [-pixels, -slack]]),
            np.r_[place.home, -place.home],
            np.r_[place.normal, np.zeros(count)][None],
            place.gap,
            [*zip(place.lower, place.upper, strict=True)] + [(0, None)] * count,
        ).fun

    return solve


def by_slsqp(norm):
    """The same within the radius, or NaN, by a general solver."""
    slack = np.eye(PIXELS) if norm == "l1" else np.ones((PIXELS, 1))
    count = slack.shape[1]

    def solve(place):
        def constraint(kind, function):
            return {"type": kind, "fun": function}

        def change(values):
            return values[:PIXELS] - place.home

        solution = optimize.minimize(
            lambda values: values[PIXELS:].sum(),
            np.r_[np.zeros(PIXELS), np.ones(count)],
            method="SLSQP",
            bounds=[*zip(place.lower, place.upper, strict=True)]
            + [(0, None)] * count,
            constraints=[
                constraint("ineq", lambda v: slack @ v[PIXELS:] - change(v)),
                constraint("ineq", lambda v: slack @ v[PIXELS:] + change(v)),
                constraint(
                    "eq", lambda v: place.normal @ v[:PIXELS] - place.gap
                ),
                constraint(
                    "ineq", lambda v: place.radius**2 - v[:PIXELS] @ v[:PIXELS]
                ),
            ],
            options={"maxiter": 300},
        )
        return solution.fun if solution.success else np.nan

    return solve


def by_bisection(place):
    low, high = -1e4, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        step = np.clip(
            place.home + middle * place.normal, place.lower, place.upper
        )
        if place.normal @ step < place.gap:
            low = middle
        else:
            high = middle
    return np.linalg.norm(place.home - step)


def by_trying_all(place):
    """The least number of pixels whose room is enough for the gap."""
    at_home = place.normal * place.home
    ends = place.normal * np.stack([place.lower, place.upper])
    for count in range(PIXELS + 1):
        for moved in itertools.combinations(range(PIXELS), count):
            rest = place.gap - np.delete(at_home, moved).sum()
            least, most = np.sort(ends[:, list(moved)], axis=0).sum(1)
            if least - 1e-9 <= rest <= most + 1e-9:
                return count
    raise AssertionError("the gap is out of reach")


BEST = {
    "l0": by_trying_all,
    "l1": by_linear_program("l1"),
    "l2": by_bisection,
    "linf": by_linear_program("linf"),
}


@ALL_NORMS
def test_far_from_the_radius_the_step_is_the_best_there_is(norm):
    place = random_place()
    step = best_step(norm, place).numpy()
    check_constraints(place, step)
    best = [BEST[norm](one) for one in rows(place)]
    np.testing.assert_allclose(distances(norm, place, step), best, 1e-4, 1e-5)
    assert np.unique(best).size > 1


def test_ties_are_broken_for_the_fewest_pixels():
    still = np.zeros((1, PIXELS))
    equal = place(
        home=still, lower=still, upper=still + 1, normal=still + 1 / 3, gap=0.5
    )
    step = best_step("l0", equal).numpy()
    np.testing.assert_allclose(np.sort(step[0])[-2:], [0.5, 1], 0, 1e-5)
    assert np.count_nonzero(step) == 2


def test_the_shortest_step_is_the_best_one_of_an_image_at_home():
    place = random_place()
    place = dataclasses.replace(place, home=tf.zeros_like(place.home))
    step, reachable = shortest_step(place)
    assert reachable.numpy().all()
    check_constraints(place, step.numpy())
    best = [by_bisection(one) for one in rows(place)]
    np.testing.assert_allclose(sizes("l2", step.numpy()), best, 1e-5, 1e-6)


def half_way(norm):
    """Places where the best steps are too long.

    Returns:
        The place, and distances from home after the best steps, the shortest
        ones and those within the radius.
    """
    far = random_place()
    ideal = best_step(norm, far).numpy()
    short = shortest_step(far)[0].numpy()
    radius = tf.constant((lengths(ideal) + lengths(short)) / 2)
    place = dataclasses.replace(far, radius=radius)
    step = best_step(norm, place).numpy()
    check_constraints(place, step)
    return place, [
        distances(norm, place, each) for each in (ideal, short, step)
    ]


def test_without_bounds_the_l2_step_has_a_closed_form():
    place, _ = half_way("l2")
    wide = dataclasses.replace(
        place, lower=place.lower - FAR, upper=place.upper + FAR
    )
    known = in_numpy(wide)
    normal = known.normal
    across = known.home - normal * (normal * known.home).sum(1, keepdims=True)
    reach = np.sqrt(np.maximum(known.radius**2 - known.gap**2, 0))
    share = np.minimum(reach / lengths(across), 1)
    expected = known.gap * normal + share * across
    fits = (np.abs(known.gap) < known.radius)[:, 0]
    assert fits.sum() > 15
    step = best_step("l2", wide).numpy()
    np.testing.assert_allclose(step[fits], expected[fits], 0, 2e-5)


@pytest.mark.parametrize(("norm", "mostly"), [("l1", 0.999), ("linf", 0.95)])
def test_within_the_radius_a_step_comes_almost_as_close_as_any(norm, mostly):
    place, (_, short, limited) = half_way(norm)
    best = np.array([by_slsqp(norm)(one) for one in rows(place)])
    known = np.isfinite(best)
    assert known.sum() > 15
    gains = ((short - limited) / (short - best))[known]
    assert gains.max() < 1 + 1e-3
    assert np.median(gains) > mostly
    assert gains.min() > 0.5


@ALL_NORMS
def test_a_larger_radius_brings_closer(norm):
    _, (ideal, short, limited) = half_way(norm)
    assert (ideal <= limited + 1e-5).all()
    assert (limited <= short + 1e-5).all()
    assert (limited < short - 1e-3).mean() > 0.5


@ALL_NORMS
def test_out_of_reach_it_goes_toward_the_plane(norm):
    gaps = np.repeat([[2.0], [-2.0]], 10, 0)
    place = random_place(radius=0.3, slope=0.2, gap=gaps)
    known = in_numpy(place)
    low, high = np.zeros((20, 1)), np.full((20, 1), 1e3)
    for _ in range(100):
        middle = (low + high) / 2
        expected = np.sign(gaps) * middle * known.normal
        expected = np.clip(expected, known.lower, known.upper)
        inside = lengths(expected) < 0.3
        low = np.where(inside, middle, low)
        high = np.where(inside, high, middle)
    step = best_step(norm, place).numpy()
    np.testing.assert_allclose(step, expected, 0, 1e-5)
    expected[10:] = np.clip(0.1 * known.normal, known.lower, known.upper)[10:]
    away = best_step(norm, place, "foolbox").numpy()
    np.testing.assert_allclose(away, expected, 0, 1e-5)


def test_without_a_radius_it_goes_to_the_corner():
    place = random_place(gap=9.0)
    corner = tf.where(place.normal > 0, place.upper, place.lower)
    np.testing.assert_array_equal(best_step("l2", place), corner)


@ALL_NORMS
def test_without_a_normal_there_is_no_step(norm):
    place = random_place(radius=0.0, gap=0.0)
    place = dataclasses.replace(place, normal=tf.zeros_like(place.normal))
    step = best_step(norm, place)
    np.testing.assert_array_equal(step, tf.zeros_like(step))


@ALL_NORMS
def test_rows_are_independent(norm):
    place, _ = half_way(norm)
    radius = place.radius.numpy()
    radius[::3], radius[1::5] = FAR, 1e-3
    place = dataclasses.replace(place, radius=tf.constant(radius))
    step = best_step(norm, place)
    for index in range(20):
        alone = best_step(norm, row(place, slice(index, index + 1)))
        np.testing.assert_allclose(alone[0], step[index], 0, 1e-6)


@ALL_NORMS
def test_not_a_number_stays_in_its_row(norm):
    place = random_place(radius=0.2)
    gap = place.gap.numpy()
    gap[3] = np.nan
    spoiled = dataclasses.replace(place, gap=tf.constant(gap))
    step, expected = best_step(norm, spoiled), best_step(norm, place)
    others = np.arange(20) != 3
    np.testing.assert_array_equal(step[others], expected[others])


@pytest.mark.slow
@ALL_NORMS
def test_xla_takes_the_same_step(norm):
    place, _ = half_way(norm)

    @tf.function(jit_compile=True)
    def compiled(*fields):
        return best_step(norm, Place(*fields))

    step = compiled(*[getattr(place, name) for name in FIELDS])
    np.testing.assert_allclose(step, best_step(norm, place), 0, 1e-5)
