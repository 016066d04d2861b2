"""Gradient descent that finds the lengths of its steps: APGD in L2 and Linf.

Source: Croce and Hein, "Reliable evaluation of adversarial robustness with an
ensemble of diverse parameter-free attacks" (2020), of whose AutoAttack these
are the first two.
"""

import abc
import functools
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import rivals
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import several_steps
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.problem import LOSSES
from dim_tf.attacks.problem import decided
from dim_tf.attacks.pursuit import Pursuit

# Share of a step that is new; the rest goes on as the last one went.
_NEW = 0.75
# Shares of the steps until the first check, by which the time to the next one
# is shorter, and which it never falls below.
_FIRST_CHECK, _SOONER, _LEAST = 0.22, 0.03, 0.06
# Steps between two looks at who is done.
_STEPS_TOGETHER = 10


@frozen
class AutoPGD(Pursuit):
    """Steps with momentum that are halved where they no longer help.

    The first step is two epsilons long. At checkpoints, ever closer together,
    a sample whose loss rose in too few of the steps since, or whose best loss
    did not rise since one that left the step as it was, goes back to its best
    point with half the step. It answers with the first adversarial met, or
    else with the point of the largest loss in the first run.

    It starts anywhere in the ball, the authors' program on its surface. That
    goes on to the last step whatever it met, and counts the first rise against
    a zero.

    Attributes:
        norm: `"l2"` or `"linf"`.
        steps: gradient steps.
        rho: share of the steps that must raise the loss.
    """

    norm: str = "linf"
    steps: int = 100
    rho: float = 0.75

    def __post_init__(self):
        checks.one_of("norm", self.norm, ("l2", "linf"))
        checks.at_least("steps", self.steps, 1)
        checks.at_least("rho", self.rho, 0)

    @abc.abstractmethod
    def turns(self, state) -> int:
        """How many runs there are, each of another loss."""

    @abc.abstractmethod
    def loss_of(self, problem, state):
        """What to climb: scores -> `(batch,)`."""

    def start(self, problem, rows):
        adversarial = problem.is_adversarial(problem.scores(problem.images))
        turn = tf.zeros((problem.batch,), tf.int32)
        return {
            "active": ~adversarial,
            "result": problem.images,
            "turn": turn,
            **self._new_turn(problem, rows["epsilon"], turn),
        }

    def advance(self, problem, state):
        changing = ("active", "result", "turn", *_TURN)
        step = functools.partial(self._step, problem)
        return several_steps(step, state, changing, _STEPS_TOGETHER)

    def _new_turn(self, problem, epsilon, turn):
        seeds = splitmix.seeds_of_turn(problem.seeds_within(epsilon), turn)
        draws = NORMS[self.norm].random_start(seeds, problem.pixels)
        point = problem.clip(problem.images + epsilon * draws)
        lowest = tf.fill((problem.batch,), -np.inf)
        return {
            "step": tf.zeros((problem.batch,), tf.int32),
            "stepsize": 2.0 * epsilon,
            "point": point,
            "previous": point,
            "best": point,
            "best_gradient": tf.zeros_like(point),
            "best_loss": lowest,
            "checked_loss": lowest,
            # No rise comes before the first step.
            "loss": -lowest,
            "rises": tf.zeros((problem.batch,), tf.int32),
            "reduced": tf.ones((problem.batch,), tf.bool),
        }

    def _step(self, problem, state):
        """Looks at the points, and moves on or begins the next turn."""
        loss_of = self.loss_of(problem, state)
        scores, gradient = problem.gradient(loss_of, state["point"])
        # What names no class must not be the best.
        loss = tf.where(decided(scores), loss_of(scores), -np.inf)
        found = problem.is_adversarial(scores)
        better = (loss > state["best_loss"])[:, None]
        known = {
            **state,
            "loss": loss,
            "rises": state["rises"] + tf.cast(loss > state["loss"], tf.int32),
            "best_loss": tf.where(better[:, 0], loss, state["best_loss"]),
            "best": tf.where(better, state["point"], state["best"]),
            "best_gradient": tf.where(better, gradient, state["best_gradient"]),
        }
        moved = self._moved(problem, self._checked(known), gradient)

        over = state["step"] >= self.steps
        turn = state["turn"] + tf.cast(over, tf.int32)
        active = state["active"]
        # What is best in the first turn stands where nothing is found.
        answer = tf.where(found[:, None], state["point"], known["best"])
        ends = active & (found | (over & (state["turn"] == 0)))
        return {
            "active": active & ~found & (turn < self.turns(state)),
            "result": tf.where(ends[:, None], answer, state["result"]),
            "turn": turn,
            **tf.cond(
                tf.reduce_any(over),
                lambda: _where(
                    over,
                    self._new_turn(problem, state["epsilon"], turn),
                    moved,
                ),
                lambda: moved,
            ),
        }

    def _checked(self, state):
        """At a checkpoint: whether to go back to the best with half steps."""
        periods = tf.gather(_periods(self.steps), state["step"])
        few = tf.cast(state["rises"], tf.float32) <= self.rho * periods
        stuck = ~state["reduced"] & (
            state["checked_loss"] >= state["best_loss"]
        )
        check = periods > 0
        halve = check & (few | stuck)
        back = halve[:, None]
        return {
            **state,
            "stepsize": tf.where(back, 0.5, 1.0) * state["stepsize"],
            "checked_loss": tf.where(
                check, state["best_loss"], state["checked_loss"]
            ),
            "rises": tf.where(check, 0, state["rises"]),
            "reduced": tf.where(check, halve, state["reduced"]),
            "halve": halve,
        }

    def _moved(self, problem, state, gradient):
        ball, epsilon = NORMS[self.norm], state["epsilon"]
        back = state["halve"][:, None]
        point = tf.where(back, state["best"], state["point"])
        gradient = tf.where(back, state["best_gradient"], gradient)
        step = state["stepsize"] * ball.direction(gradient)
        ahead = problem.restrict(point + step, ball, epsilon)
        new = tf.where(state["step"] == 0, 1.0, _NEW)[:, None]
        ahead = problem.restrict(
            point
            + new * (ahead - point)
            + (1 - new) * (point - state["previous"]),
            ball,
            epsilon,
        )
        return {
            **{name: state[name] for name in _TURN},
            "point": ahead,
            "previous": point,
            "step": state["step"] + 1,
        }


# Of the state, what begins anew with every turn.
_TURN = (
    "step",
    "stepsize",
    "point",
    "previous",
    "best",
    "best_gradient",
    "best_loss",
    "checked_loss",
    "loss",
    "rises",
    "reduced",
)


def _where(chosen, first, second):
    """Rows of one dict of tensors or of another."""
    return {
        name: tf.where(
            tf.reshape(chosen, (-1, *[1] * (value.shape.rank - 1))),
            value,
            second[name],
        )
        for name, value in first.items()
    }


def _periods(steps: int) -> np.ndarray:
    """For every step, the steps since the last checkpoint; 0: it is none."""
    periods = np.zeros(steps + 1, np.float32)
    period, least = (
        max(int(_FIRST_CHECK * steps), 1),
        max(int(_LEAST * steps), 1),
    )
    sooner = max(int(_SOONER * steps), 1)
    check = period
    while check <= steps:
        periods[check] = period
        period = max(period - sooner, least)
        check += period
    return periods


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
        return getattr(problem, self.loss)


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
        return state["rivals"].shape[1]

    def prepare(self, problem):
        return {"rivals": rivals.most_likely(problem, self.targets)}

    def loss_of(self, problem, state):
        lead = rivals.lead(problem, state["rivals"], state["turn"])
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
