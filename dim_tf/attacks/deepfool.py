"""DeepFool: steps to the nearest boundary of a linearized model, L2 and Linf.

One algorithm, and a table of norms. Source: Moosavi-Dezfooli et al.,
"DeepFool: a simple and accurate method to fool deep neural networks" (2016).
"""

from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.target_classes import most_likely
from dim_tf.attacks.walk import Walk

_LOSSES = ("logits", "crossentropy")
# As in foolbox within [0, 1]: added to sizes, and to distances so as to arrive.
_FLOOR = 1e-8
_EXTRA_DISTANCE = 1e-4


@frozen
class DeepFool(Walk):
    """Steps to the nearest boundary of the linearized model until one is past.

    foolbox asks the model once for every class; here all gradients of a step
    share one forward pass. A targeted walk steps to where its class leads
    whichever does, while foolbox's heads for the nearest of all until it
    happens to be the right one.

    Attributes:
        candidates: how many of the classes that the model finds most likely
            are considered; None: all.
        overshoot: share by which the whole perturbation is longer than needed.
        loss: `"logits"`, or `"crossentropy"`, which differs by rounding only.
    """

    changing: ClassVar[tuple[str, ...]] = (*Walk.changing, "perturbation")
    steps_together: ClassVar[int] = 2
    steps: int = 50
    candidates: int | None = 10
    overshoot: float = 0.02
    loss: str = "logits"

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("loss", self.loss, _LOSSES)
        if self.candidates is not None:
            checks.at_least("candidates", self.candidates, 2)

    def start(self, problem, rows):
        scores = problem.scores(problem.images)
        others = (self.candidates or scores.shape[-1]) - 1
        others = most_likely(problem, scores, others)
        own = tf.cast(problem.classes, tf.int32)[:, None]
        return {
            **super().start(problem, rows),
            "order": tf.concat([own, others], 1),
            "perturbation": tf.zeros_like(problem.images),
        }

    def move(self, problem, state):
        flat = state["result"]
        scores, leads, gradients = self._slopes(problem, flat, state["order"])
        distances = tf.abs(leads[..., None]) / (
            NORMS[self.norm].dual_size(gradients) + _FLOOR / problem.range
        )
        nearest = tf.argmin(distances[..., 0], 1)
        distance = tf.gather(distances, nearest, batch_dims=1)
        gradient = tf.gather(gradients, nearest, batch_dims=1)
        step = NORMS[self.norm].direction(gradient)
        step *= distance + _EXTRA_DISTANCE * problem.range
        perturbation = state["perturbation"] + tf.where(
            tf.math.is_finite(step), step, 0.0
        )
        moved = problem.images + (1.0 + self.overshoot) * perturbation
        return scores, {
            "result": problem.clip(moved),
            "perturbation": perturbation,
        }

    def _slopes(self, problem, flat, order):
        """Scores, what classes to step to lead by, and its gradients.

        Those are the target, or all others in their order at the image.
        """

        def leads(scores):
            if problem.targeted:
                return problem.margin(scores)[:, None]
            if self.loss == "crossentropy":
                scores = tf.nn.log_softmax(scores)
            values = tf.gather(scores, order, batch_dims=1)
            return values[:, 1:] - values[:, :1]

        # XLA cannot compile pfor for models with loops, but loops well.
        return problem.jacobian(leads, flat, vectorized=not self.jit_compile)


class L2DeepFoolAttack(DeepFool):
    """DeepFool in L2."""

    norm: ClassVar[str] = "l2"


class LinfDeepFoolAttack(DeepFool):
    """DeepFool in Linf."""

    norm: ClassVar[str] = "linf"
