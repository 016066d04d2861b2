"""Whether a model and images fit together, before anything is attacked."""

import keras
import numpy as np

from dim_tf import data
from dim_tf import metrics
from dim_tf.scores import decided

# By which probabilities may not add up to 1: those of 16 bits are coarse.
_SUM_TOLERANCE = 1e-2
# Images that a model is asked about twice, by themselves the second time.
_ASKED_AGAIN = 10


def check(model: keras.Model, examples: data.Examples) -> float:
    """Checks that a model and images fit together.

    Args:
        model: images -> dict with `scores`.
        examples: to try it on.

    Returns:
        Its accuracy on them.

    Raises:
        ValueError: the images are of another shape, the labels are no classes
            of the model, or scores are not finite, or random, or depend on
            the other images, or are probabilities, or not the logarithms of
            any.
    """
    shape, wanted = examples.images.shape[1:], model.input_shape[1:]
    if shape != wanted:
        raise ValueError(
            f"the model {model.name!r} takes images {wanted}, got {shape}"
        )
    scores = metrics.outputs(model, examples.images, "scores")
    classes = scores.shape[1]
    if classes < 2:
        raise ValueError(
            f"the model {model.name!r} gives one score; expected one for each "
            "of two classes or more: of a single logit z, give [0, z]"
        )
    if examples.labels.min() < 0 or examples.labels.max() >= classes:
        raise ValueError(
            f"the model {model.name!r} has {classes} classes, got labels from "
            f"{examples.labels.min()} to {examples.labels.max()}"
        )
    _check_probabilities(model, examples)
    _check_finite(model.name, scores, examples.rows)
    # With other neighbors, which must not matter: fewer, or a first one.
    few = min(_ASKED_AGAIN, -(-len(scores) // 2))
    asked = examples.images[:few]
    if len(scores) == 1:
        asked = np.concatenate([asked, 1.0 - asked])
    again = metrics.outputs(model, asked, "scores")[:few]
    _check_repeatable(model.name, scores[:few], again)
    sums = scores.sum(axis=1)
    if (scores >= 0).all() and (np.abs(sums - 1) < _SUM_TOLERANCE).all():
        raise ValueError(
            f"the model {model.name!r} gives probabilities, whose gradients "
            "vanish where it is sure; expected logits. Save it without its "
            "softmax, or have their logarithms attacked with probabilities=True"
        )
    return float(np.mean(scores.argmax(axis=1) == examples.labels))


def _check_probabilities(model, examples):
    """Checks that what logarithms were taken of are probabilities."""
    if "probabilities" not in model.output:
        return
    given = metrics.outputs(model, examples.images, "probabilities")
    sums = given.sum(axis=1)
    if (given < 0).any() or (np.abs(sums - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            f"the model {model.name!r} gives no probabilities, which are from "
            f"0 to 1 and add up to 1, but values from {np.nanmin(given):g} to "
            f"{np.nanmax(given):g} that add up to {np.nanmin(sums):g} to "
            f"{np.nanmax(sums):g}; leave out probabilities"
        )


def _check_finite(name, scores, rows):
    sick = rows[~decided(scores)]
    if not len(sick):
        return
    some = ", ".join(f"row {row}" for row in sick[:10])
    more = ", ..." if len(sick) > 10 else ""
    raise ValueError(
        f"the model {name!r} gives scores that are not finite on {len(sick)} "
        f"of {len(rows)} clean images ({some}{more}); leave these images out, "
        "or repair the model"
    )


def _check_repeatable(name, scores, again):
    # Accelerators add up in any order, so that the last bits differ; what is
    # drawn at random moves scores by far more. Those of the best two classes
    # say how large scores are, as one that is masked out may be any number.
    best = np.sort(scores, axis=1)[:, -2:]
    limit = 1e-3 * np.abs(best[np.isfinite(best)]).max()
    # That of a class that cannot be is minus infinity again, or it moved.
    with np.errstate(invalid="ignore"):
        apart = np.where(scores == again, 0.0, np.abs(scores - again))
    sizes = np.where(np.isfinite(scores), np.abs(scores), 0.0)
    # Not finite is not the same either.
    moved = ~(apart <= limit + 1e-6 * sizes).all(axis=1)
    if moved.any():
        raise ValueError(
            f"the model {name!r} gives other scores when it is asked again, "
            f"about fewer images ({moved.sum()} of {len(moved)} clean images, "
            f"up to {apart.max():g} apart): records of it would be luck; turn "
            "its randomness off, or average over draws, and run batch "
            "normalization as for inference"
        )
