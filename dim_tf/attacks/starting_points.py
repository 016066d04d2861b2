"""Adversarial images to start from, however far away.

Every row follows paths from its image to other images, and starts from the
earliest adversarial image that it meets, so that it is not farther away than
it has to be. The paths are tried in turn: to noise that is adversarial, to
black and white pixels in several random orders, to a constant image that is
adversarial.
"""

import tensorflow as tf

from dim_tf.attacks import speculation
from dim_tf.attacks import splitmix

# Noise images that are asked for their classes, some at a time.
_NOISE_TOGETHER = 125
_NOISE_CALLS = 8
# Random orders in which pixels turn black or white.
_ORDERS = 10
# A path is searched in coarse steps and then in fine ones.
_COARSE_STEPS = 50
_FINE_STEPS = 20


def find_starting_points(problem, rows):
    """An adversarial image for every row that one is found for.

    An image that is adversarial as it is starts from itself. Starting points
    that came with the call are taken as they are where they are adversarial.

    Args:
        problem: `Problem`.
        rows: dict of tensors, maybe with `starting_points`.

    Returns:
        float32 `(batch, pixels)`, the row's own image where that is adversarial
        or nothing was found, and bool `(batch,)`: whether it is another one.
    """
    points = problem.images
    found = problem.fooled_by(points)
    if "starting_points" in rows:
        given = rows["starting_points"]
        good = ~found & problem.fooled_by(given)
        points = tf.where(good[:, None], given, points)
        found |= good
    noise, constant = _noise(problem, ~found), _constant(problem)

    def attempt(index, points, found):
        path = _path(problem, index, noise, constant)
        first, good = earliest(problem, path, ~found)
        points = tf.where(good[:, None], first, points)
        return index + 1, points, found | good

    _, points, found = tf.while_loop(
        lambda index, points, found: ~tf.reduce_all(found),
        attempt,
        (0, points, found),
        maximum_iterations=_ORDERS + 2,
    )
    return points, tf.reduce_any(points != problem.images, 1)


def _noise(problem, wanted):
    """An adversarial image of uniform noise for each wanted row.

    All rows look for theirs in the same images: models tend to see one class
    in all noise, and then many images have to be asked.
    """
    lower, _ = problem.bounds
    seeds, places = tf.zeros((1, 2), tf.int32), tf.range(_NOISE_TOGETHER)[None]
    keys = splitmix.uniform(problem.seeds, _NOISE_TOGETHER, 0)

    def ask(index, images, found):
        drawn = splitmix.uniform(seeds, problem.pixels, places + index)[0]
        drawn = lower + problem.range * drawn
        picked, good = _pick(problem, drawn, keys)
        new = good & ~found
        images = tf.where(new[:, None], picked, images)
        return index + _NOISE_TOGETHER, images, found | new

    return tf.while_loop(
        lambda index, images, found: ~tf.reduce_all(found),
        ask,
        (0, problem.images, ~wanted),
        maximum_iterations=_NOISE_CALLS,
    )[1]


def _constant(problem):
    """A black, white or gray image for each row, adversarial if one is."""
    lower, upper = problem.bounds
    levels = tf.constant([[lower], [upper], [(lower + upper) / 2]])
    levels = tf.tile(levels, [1, problem.pixels])
    return _pick(problem, levels, tf.constant([[3.0, 2.0, 1.0]]))[0]


def _pick(problem, images, keys):
    """The adversarial one of images `(k, pixels)` with the highest key.

    Returns:
        Images `(batch, pixels)`; whether they are adversarial, `(batch,)`.
    """
    scores = problem.raised(problem.ask(images)[None])
    good = problem.is_adversarial(scores)
    best = tf.argmax(tf.where(good, keys, 0.0), 1)
    return tf.gather(images, best), tf.reduce_any(good, 1)


def _path(problem, index, noise, constant):
    """The path of an attempt: positions 0 to 1 -> images, see `earliest`."""
    lower, upper = problem.bounds
    coins, order = (
        splitmix.uniform(problem.seeds, problem.pixels, kind, index)
        for kind in (1, 2)
    )
    turned = tf.where(coins < 0.5, lower, upper)[:, None]
    clean, order = problem.images[:, None], order[:, None]
    end = tf.where(index == 0, noise, constant)[:, None]
    blends = (index == 0) | (index > _ORDERS)

    def path(position):
        blend = problem.clip(clean + position * (end - clean))
        return tf.where(
            blends, blend, tf.where(order < position, turned, clean)
        )

    return path


def earliest(problem, path, wanted):
    """The earliest adversarial image on the paths of the wanted rows.

    Args:
        path: positions `(batch, k, 1)` -> images `(batch, k, pixels)`.
        wanted: bool `(batch,)`.

    Returns:
        Images `(batch, pixels)`; whether they are wanted and adversarial,
        bool `(batch,)`.
    """
    step = 1.0 / _COARSE_STEPS
    start = tf.zeros([problem.batch])
    end, found = _sweep(problem, path, start, step, _COARSE_STEPS, wanted)
    # One step less: the last would be the coarse one's.
    start, finer, count = end - step, step / _FINE_STEPS, _FINE_STEPS - 1
    fine, again = _sweep(problem, path, start, finer, count, found)
    position = tf.where(again, fine, end)[:, None, None]
    return path(position)[:, 0], found


def _sweep(problem, path, start, step, count, wanted):
    """The first adversarial of `count` positions after `start` `(batch,)`."""
    together = speculation.together(problem)
    together = tf.minimum(together, count)

    def attempt(index, end, found):
        steps = tf.minimum(index + 1 + tf.range(together), count)
        positions = start[:, None] + step * tf.cast(steps, tf.float32)
        scores = problem.scores(path(positions[:, :, None]))
        good = problem.is_adversarial(scores)
        first = tf.gather(positions, tf.argmax(good, 1), batch_dims=1)
        new = wanted & ~found & tf.reduce_any(good, 1)
        return index + together, tf.where(new, first, end), found | new

    _, end, found = tf.while_loop(
        lambda index, end, found: (
            (index < count) & tf.reduce_any(wanted & ~found)
        ),
        attempt,
        (0, start, tf.zeros_like(wanted)),
    )
    return end, found
