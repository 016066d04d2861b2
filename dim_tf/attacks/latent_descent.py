"""Toward what a generative model itself draws of another class."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import Flexible
from dim_tf.attacks.graphs import done
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.starting_points import earliest
from dim_tf.attacks.target_classes import most_likely
from dim_tf.caching import kept_with_model


@frozen
class LatentDescentAttack(Flexible):
    """A line search toward the image's reconstruction as another class.

    It is coarse at first, and then fine. The more classes are tried, those
    with the best scores first, the closer is the closest adversarial of all.

    Source: the attack that Schott et al. (2019) made for their own model,
    analysis by synthesis, in its appendix.

    Attributes:
        classes: other classes that are tried.
        explain: images `(n, ...)` -> reconstructions `(n, all classes, ...)`;
            `for_model` takes it from a Keras model.
    """

    classes: int = 3
    explain: Callable | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("classes", self.classes, 1)

    def for_model(self, model):
        if self.explain is not None:
            return self
        known = model.output if isinstance(model.output, dict) else ["scores"]
        if "reconstructions" not in known:
            raise ValueError(
                f"{type(self).__name__} needs a model that reconstructs its "
                f"input; {model.name!r} gives only {', '.join(known)}"
            )
        return dataclasses.replace(self, explain=_explainer(model))

    def start(self, problem, rows):
        del rows
        if self.explain is None:
            raise ValueError(
                f"{type(self).__name__} does not know the model's "
                "reconstructions; give it some by explain=... or for_model()"
            )
        drawn = self.explain(tf.reshape(problem.images, (-1, *problem.shape)))
        drawn = tf.reshape(drawn, (problem.batch, -1, problem.pixels))
        scores = problem.scores(problem.images)
        misclassified = problem.is_adversarial(scores)
        size = NORMS[self.norm].size

        def toward(rank, result, least):
            ends = tf.gather(drawn, goals[:, rank], batch_dims=1)[:, None]
            start = problem.images[:, None]
            found, good = earliest(
                problem,
                lambda shares: problem.clip(start + shares * (ends - start)),
                ~misclassified,
            )
            sizes = size(found - problem.images)[:, 0]
            better = good & (sizes < least)
            result = tf.where(better[:, None], found, result)
            return rank + 1, result, tf.where(better, sizes, least)

        if problem.targeted:
            goals = tf.cast(problem.classes, tf.int32)[:, None]
        else:
            goals = most_likely(problem, scores, self.classes)
        unlimited = tf.fill((problem.batch,), problem.images.dtype.max)
        _, result, _ = tf.while_loop(
            lambda rank, *_: rank < goals.shape[1],
            toward,
            (0, problem.images, unlimited),
        )
        return done(problem, result)


@kept_with_model  # equal attacks share their graphs
def _explainer(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.output["reconstructions"])
