"""Gradient descent that finds the lengths of its steps: APGD.

Source: Croce and Hein, "Reliable evaluation of adversarial robustness with an
ensemble of diverse parameter-free attacks" (2020), of whose AutoAttack these
are the first two; and "Mind the box: l1-APGD for sparse adversarial attacks on
image classifiers" (2021).
"""

import abc
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.climbs import CLIMBS
from dim_tf.attacks.climbs import Climb
from dim_tf.attacks.graphs import choose
from dim_tf.attacks.problem import LOSSES
from dim_tf.attacks.problem import decided
from dim_tf.attacks.pursuit import Pursuit
from dim_tf.attacks.target_classes import lead_of
from dim_tf.attacks.target_classes import most_likely

# Of the state, what begins anew with every stage, beside the climb's memory.
_STAGE = ("step", "point", "best", "best_gradient", "best_loss")


@frozen
class AutoPGD(Pursuit):
    """Steps whose lengths follow from what they reach, see `climbs`.

    It answers with the first adversarial met, or else with the point of the
    largest loss in the first run. In L1 a run begins in balls of three and two
    epsilons, where nothing counts as found, and that point is of the last one.

    The authors' program goes on to the last step whatever it met. In L2 and
    Linf it starts on the surface of the ball, here it is anywhere within, and
    it counts the first rise against a zero. AutoAttack runs it five times to
    climb one loss in L1, as `repeat(5)` does.

    Attributes:
        norm: `"l1"`, `"l2"` or `"linf"`.
        steps: gradient steps.
        rho: share of the steps that must raise the loss; not in L1.
    """

    steps_together: ClassVar[int] = 10
    norm: str = "linf"
    steps: int = 100
    rho: float = 0.75

    def __post_init__(self):
        checks.one_of("norm", self.norm, tuple(CLIMBS))
        checks.at_least("steps", self.steps, 1)
        checks.at_least("rho", self.rho, 0)

    @property
    def climb(self) -> Climb:
        return CLIMBS[self.norm](self.norm, self.steps, self.rho)

    @property
    def changing(self):
        memory = (*_STAGE, *self.climb.memory)
        return ("active", "result", "turn", "stage", *memory)

    @abc.abstractmethod
    def turns(self, state) -> int:
        """How many runs there are, each of another loss."""

    @abc.abstractmethod
    def loss_of(self, problem, state):
        """What to climb: scores -> `(batch,)`."""

    def start(self, problem, rows):
        adversarial = problem.fooled_by(problem.images)
        zeros = tf.zeros((problem.batch,), tf.int32)
        begun = {"turn": zeros, "stage": zeros, "best": problem.images}
        return {
            **begun,
            "active": ~adversarial,
            "result": problem.images,
            **self._begin(problem, self.climb, {**rows, **begun}),
        }

    def _begin(self, problem, climb, state):
        """Of the state, what begins a stage: of a run, or after another one."""
        radius = _radius(climb, state)
        seeds = problem.seeds_within(state["epsilon"])
        seeds = splitmix.seeds_of_turn(seeds, state["turn"])
        point = climb.start(problem, seeds, radius)
        if len(climb.radii) > 1:
            before = climb.restrict(problem, state["best"], radius)
            point = tf.where(state["stage"][:, None] == 0, point, before)
        return {
            "step": tf.zeros((problem.batch,), tf.int32),
            "point": point,
            "best": point,
            "best_gradient": tf.zeros_like(point),
            "best_loss": tf.fill((problem.batch,), -np.inf),
            **climb.begin(problem, point, radius),
        }

    def step(self, problem, state):
        """Looks at the points, and moves on or begins the next stage."""
        climb = self.climb
        loss_of = self.loss_of(problem, state)
        scores, gradient = problem.gradient(loss_of, state["point"])
        # What names no class must not be the best.
        loss = tf.where(decided(scores), loss_of(scores), -np.inf)
        better = (loss > state["best_loss"])[:, None]
        known = {
            **state,
            "best_loss": tf.where(better[:, 0], loss, state["best_loss"]),
            "best": tf.where(better, state["point"], state["best"]),
            "best_gradient": tf.where(better, gradient, state["best_gradient"]),
        }
        look = {"loss": loss, "gradient": gradient}
        moved = {
            **{name: known[name] for name in _STAGE},
            **climb.move(problem, known, look, _radius(climb, state)),
            "step": state["step"] + 1,
        }

        last = state["stage"] == len(climb.radii) - 1
        found = last & problem.is_adversarial(scores)
        over = state["step"] >= tf.gather(climb.lengths, state["stage"])
        run_over = over & last
        turn = state["turn"] + tf.cast(run_over, tf.int32)
        stage = state["stage"] + tf.cast(over, tf.int32)
        stage = tf.where(run_over, 0, stage)
        active = state["active"]
        # What is best in the first run stands where nothing is found.
        answer = tf.where(found[:, None], state["point"], known["best"])
        ends = active & (found | (run_over & (state["turn"] == 0)))

        def next_stage():
            begun = {**known, "turn": turn, "stage": stage}
            return choose(over, self._begin(problem, climb, begun), moved)

        return {
            "active": active & ~found & (turn < self.turns(state)),
            "result": tf.where(ends[:, None], answer, state["result"]),
            "turn": turn,
            "stage": stage,
            **tf.cond(tf.reduce_any(over), next_stage, lambda: moved),
        }


def _radius(climb, state):
    factors = tf.gather(climb.radii, state["stage"])
    return factors[:, None] * state["epsilon"]


@frozen
class AutoPGDAttack(AutoPGD):
    """APGD that climbs one loss: APGD-CE, by the log-odds.

    Attributes:
        loss: what to climb, one of `problem.LOSSES`.
    """

    loss: str = "log_odds"

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("loss", self.loss, LOSSES)

    def turns(self, state):
        del state
        return 1

    def loss_of(self, problem, state):
        del state
        return problem.loss(self.loss)


@frozen
class TargetedAutoPGDAttack(AutoPGD):
    """APGD toward one other class after another, the most likely ones first.

    What it climbs is the lead of the other class over the image's. The paper
    divides it by the spread of the best scores, which no scale of the scores
    changes then (the targeted difference of logits ratio, DLR). Steps have a
    length of their own, so that this is worth little, and where the other
    classes' scores are level, as those of internal models that answer black
    are, it takes the image's own score out of the gradient.

    Attributes:
        targets: other classes at most.
        loss: `"margin"`, or `"dlr"` for the paper's; of fewer than four classes
            the spread is that of what there is, and of two it is left out.
    """

    supports_targets: ClassVar[bool] = False
    targets: int = 9
    loss: str = "margin"

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("targets", self.targets, 1)
        checks.one_of("loss", self.loss, ("margin", "dlr"))

    def turns(self, state):
        return state["targets"].shape[1]

    def prepare(self, problem):
        scores = problem.scores(problem.images)
        return {"targets": most_likely(problem, scores, self.targets)}

    def loss_of(self, problem, state):
        lead = lead_of(problem, state["targets"], state["turn"])
        if self.loss == "margin":
            return lead
        return lambda scores: lead(scores) / spread(scores)


def spread(scores):
    """The best score less the mean of the third and the fourth, `(batch,)`.

    As many of these as there are and as are finite; 1 where none is. One that
    is masked out by a large number counts.
    """
    top = tf.math.top_k(scores, min(4, scores.shape[-1])).values
    rest = top[:, 2:]
    finite = tf.math.is_finite(rest)
    count = tf.reduce_sum(tf.cast(finite, tf.float32), 1)
    total = tf.reduce_sum(tf.where(finite, rest, 0.0), 1)
    gap = top[:, 0] - total / tf.maximum(count, 1.0)
    return tf.where((count > 0) & (gap > 0), gap, 1.0)
