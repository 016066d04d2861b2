"""A first look at robustness, in seconds, for choosing a training recipe.

It is an upper bound on robust accuracy: a few compiled attacks at one epsilon
per norm on a few hundred validation images. The 42 attacks of the paper are
another matter.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import foolbox
import keras
import numpy as np
import tensorflow as tf

from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.decaying_descent import DecayingDescentAttack
from dim_tf.attacks.greedy_pixels import GreedyPixelsAttack
from dim_tf.evaluation.protocol import Trial
from dim_tf.evaluation.thresholds import beyond

# The thresholds of the paper's tables, and the paper's median Linf distance.
BUDGETS = (("l2", 1.5), ("linf", 0.2), ("linf", 0.3), ("l0", 12.0))


def _log(scores):
    # Ratios near zero have no gradient left in a softmax; their logarithms do.
    return tf.math.log(tf.maximum(scores, 0.0) + 1e-4)


def _steep(scores):
    return 20.0 * scores


def robust_accuracies(
    name: str, model: keras.Model, examples: data.Examples
) -> dict[str, float]:
    """Share of images whose label no attack of the first look changes.

    Args:
        name: of the model, a key of `models.MODELS`.
        model: images -> dict with `scores`.
        examples: images to attack; misclassified ones count as not robust.

    Returns:
        Robust accuracy by budget, such as `{"l2_1.5": 0.7}`; empty where there
        are no examples.
    """
    if not len(examples):
        return {}
    # What an attack sees of the scores: DIM's ratios saturate, logits do not.
    seen = (_log, _steep) if "denoised" in model.output else (tf.identity,)
    views = [_view(model, see) for see in seen]
    binarized = bool(models.entry(name).switches.get("binarize"))
    clean = metrics.predictions(model, examples.images) == examples.labels
    result = {}
    for norm, epsilon in BUDGETS:
        robust = clean.copy()
        searches = itertools.product(_attacks(norm, binarized), views)
        for number, (attack, view) in enumerate(searches):
            left = np.flatnonzero(robust)
            if len(left):
                targets = examples.take(left)
                attack = dataclasses.replace(attack, seed=number)
                _, found, _ = attack(
                    view, targets.images, targets.labels, epsilons=epsilon
                )
                trial = Trial(model, norm, targets)
                trial.consider(found)
                robust[left] = beyond(trial.distances, epsilon)
        result[f"{norm}_{epsilon:g}"] = float(robust.mean())
    return result


def _view(model: keras.Model, view) -> foolbox.TensorFlowModel:
    """What an attack searches on."""
    return foolbox.TensorFlowModel(
        lambda images: view(model(images, training=False)["scores"]),
        bounds=(0, 1),
        # Of foolbox's own constants, of which there are none.
        device="/CPU:0",
    )


def _attacks(norm: str, binarized: bool) -> Iterator[FixedEpsilon]:
    if norm != "l0":
        for loss in ("log_odds", "margin"):
            yield DecayingDescentAttack(norm=norm, loss=loss)
    if norm == "l0" or (binarized and norm == "l2"):
        yield GreedyPixelsAttack(norm=norm, binarized=binarized)
