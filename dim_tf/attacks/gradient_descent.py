"""Gradient descent within a ball: FGM, BIM and PGD in L1, L2 and Linf.

One algorithm, and a table of norms. Sources: Goodfellow et al., "Explaining
and harnessing adversarial examples" (2015); Kurakin et al., "Adversarial
examples in the physical world" (2017); Madry et al., "Towards deep learning
models resistant to adversarial attacks" (2018).
"""

import dataclasses
import math
from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import l1_ball
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.norms import Norm
from dim_tf.attacks.problem import LOSSES


@frozen
class GradientDescent(FixedEpsilon):
    """Steps along the gradient of a loss, back into the ball.

    Like foolbox's, it answers with the last iterate. foolbox's climb the
    cross-entropy, whose gradient has the direction of that of the log-odds but
    vanishes as the softmax comes near one; see `problem.log_odds_against`.

    Attributes:
        rel_stepsize: length of a step, in epsilons.
        abs_stepsize: length of a step; None: by `rel_stepsize`.
        steps: gradient steps.
        random_start: whether to start anywhere in the ball, elsewhere for
            every epsilon, or at its center.
        loss: what to climb, one of `problem.LOSSES`.
    """

    rel_stepsize: float
    abs_stepsize: float | None = None
    steps: int
    random_start: bool
    loss: str = "log_odds"

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)
        if self.abs_stepsize is None:
            checks.at_least("rel_stepsize", self.rel_stepsize, 0)
        else:
            checks.at_least("abs_stepsize", self.abs_stepsize, 0)
        checks.one_of("loss", self.loss, LOSSES)

    @property
    def ball(self) -> Norm:
        return NORMS[self.norm]

    def direction(self, problem, flat):
        """The way to step, `(batch, pixels)`, of unit size in the norm."""
        return self.ball.direction(self.gradient(problem, flat))

    def gradient(self, problem, flat):
        """The gradient of the loss, `(batch, pixels)`."""
        return problem.gradient(problem.loss(self.loss), flat)[1]

    def steer(self, direction, memory):
        """The step to take, of unit size, and what the next one remembers."""
        return direction, memory

    def prepare(self, problem):
        # Without a random start the first gradient serves every epsilon.
        if self.random_start:
            return {}
        return {"first": self.direction(problem, problem.images)}

    def perturb(self, problem, epsilon, prepared):
        stepsize = self.abs_stepsize
        if stepsize is None:
            stepsize = self.rel_stepsize * epsilon

        def move(flat, memory, direction):
            step, memory = self.steer(direction, memory)
            moved = flat + stepsize * step
            return problem.restrict(moved, self.ball, epsilon), memory

        flat, left = problem.images, self.steps
        memory = tf.zeros_like(flat)
        if self.random_start:
            # As in foolbox, a list of epsilons is as many starts.
            seeds = problem.seeds_within(epsilon)
            start = self.ball.random_start(seeds, problem.pixels)
            flat = problem.clip(flat + epsilon * start)
        else:
            flat, memory = move(flat, memory, prepared["first"])
            left -= 1
        return tf.while_loop(
            lambda *_: True,
            lambda flat, memory: move(
                flat, memory, self.direction(problem, flat)
            ),
            (flat, memory),
            maximum_iterations=left,
        )[0]


@frozen
class _FastGradient(GradientDescent):
    rel_stepsize: float = 1.0
    steps: int = 1
    random_start: bool = False


@frozen
class BasicIterative(GradientDescent):
    rel_stepsize: float = 0.2
    steps: int = 10
    random_start: bool = False


@frozen
class _ProjectedGradientDescent(GradientDescent):
    rel_stepsize: float = 0.025
    steps: int = 50
    random_start: bool = True


class L1FastGradientAttack(_FastGradient):
    """One step of gradient descent (FGM) in L1."""

    norm: ClassVar[str] = "l1"


class L2FastGradientAttack(_FastGradient):
    """One step of gradient descent (FGM) in L2."""

    norm: ClassVar[str] = "l2"


class LinfFastGradientAttack(_FastGradient):
    """One step of gradient descent (FGSM) in Linf."""

    norm: ClassVar[str] = "linf"


class L1BasicIterativeAttack(BasicIterative):
    """A few long steps of gradient descent (BIM) in L1."""

    norm: ClassVar[str] = "l1"


class L2BasicIterativeAttack(BasicIterative):
    """A few long steps of gradient descent (BIM) in L2."""

    norm: ClassVar[str] = "l2"


class LinfBasicIterativeAttack(BasicIterative):
    """A few long steps of gradient descent (BIM) in Linf."""

    norm: ClassVar[str] = "linf"


class L1ProjectedGradientDescentAttack(_ProjectedGradientDescent):
    """Many short steps from a random start (PGD) in L1."""

    norm: ClassVar[str] = "l1"


class L2ProjectedGradientDescentAttack(_ProjectedGradientDescent):
    """Many short steps from a random start (PGD) in L2."""

    norm: ClassVar[str] = "l2"


@frozen
class LinfProjectedGradientDescentAttack(_ProjectedGradientDescent):
    """Many short steps from a random start (PGD) in Linf."""

    norm: ClassVar[str] = "linf"
    rel_stepsize: float = 0.01 / 0.3
    steps: int = 40


@frozen
class SparseL1DescentAttack(GradientDescent):
    """Steps along the largest parts of the gradient, in L1.

    Source: Tramèr and Boneh, "Adversarial training and robustness for multiple
    perturbations" (2019). foolbox 3.3.4 projects samples that are inside the
    ball as soon as one of the batch is outside, and too far out, and looks for
    entries at a bound the wrong way round where it is targeted. Here every
    sample is projected by itself, onto the closest point of the ball.

    Attributes:
        quantile: share of a gradient's entries that are left out.
        projection: `"exact"`, or `"foolbox"` for what foolbox does to a sample
            that is alone in its batch.
    """

    norm: ClassVar[str] = "l1"
    rel_stepsize: float = 0.2
    steps: int = 10
    random_start: bool = False
    quantile: float = 0.99
    projection: str = "exact"

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("projection", self.projection, _PROJECTIONS)
        if not 0 <= self.quantile <= 1:
            raise ValueError(
                f"quantile must be between 0 and 1, got {self.quantile!r}"
            )

    @property
    def ball(self) -> Norm:
        project = _PROJECTIONS[self.projection]
        return dataclasses.replace(NORMS["l1"], project=project)

    def direction(self, problem, flat):
        gradients = self.gradient(problem, flat)
        lower, upper = problem.bounds
        # No way out of the bounds.
        stuck = ((flat <= lower) & (gradients < 0)) | (
            (flat >= upper) & (gradients > 0)
        )
        gradients = tf.where(stuck, 0.0, gradients)
        sizes = tf.abs(gradients)
        threshold = _quantile(sizes, self.quantile)
        signs = tf.where(sizes >= threshold, tf.sign(gradients), 0.0)
        return NORMS["l1"].direction(signs)


def _quantile(values, share):
    """Interpolated quantile of each row, `(batch, 1)`, like NumPy's."""
    last = values.shape[1] - 1
    position = share * last
    below = math.floor(position)
    # The largest in falling order: index `last - below` is rank `below`.
    top = tf.math.top_k(values, last - below + 1).values
    low = top[:, last - below, None]
    high = top[:, max(last - below - 1, 0), None]
    return low + (position - below) * (high - low)


_PROJECTIONS = {
    "exact": l1_ball.project,
    "foolbox": l1_ball.project_like_foolbox,
}
