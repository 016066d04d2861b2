"""Descents that weigh fooling against distance, and the search for the weight.

Source: Carlini and Wagner, "Towards evaluating the robustness of neural
networks" (2017).
"""

import abc
import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import choose
from dim_tf.attacks.minimization import Minimization

# A descent is worth going on with while its loss falls below this share.
_PROGRESS = 0.9999
# From so many constants on, the last one is certain to be large enough.
_MANY_CONSTANTS = 10
_LARGEST_CONSTANT = 1e10


@frozen
class ConstantSearch(Minimization):
    """Descents of `constant * hinge + squared distance`.

    The hinge is what the margin lacks of `confidence`. A large constant fools,
    a small one stays near: constants grow tenfold until one succeeds, and are
    halved in from then on. The answer is the closest success of all descents.

    Distances are in ranges of the bounds: constants weigh as much whatever the
    pixels are. foolbox takes differences of pixels, the same within [0, 1]
    alone.

    Every sample searches by itself. foolbox stops a descent when the loss of
    the whole batch no longer falls, and answers a failure with a black image;
    one sample at a time it goes the same way.

    Attributes:
        binary_search_steps: constants tried.
        steps: gradient steps for each of them.
        confidence: margin that counts as a success.
        initial_const: the first constant.
        abort_early: whether to look for progress after every tenth of the
            steps, and to leave the constant if there is none.
    """

    # Names of what `begin` gives and `move` changes.
    variables: ClassVar[tuple[str, ...]]
    binary_search_steps: int = 9
    steps: int = 10000
    confidence: float = 0.0
    initial_const: float = 1e-3
    abort_early: bool = True

    def __post_init__(self):
        checks.at_least("binary_search_steps", self.binary_search_steps, 1)
        checks.at_least("steps", self.steps, 1)

    @abc.abstractmethod
    def begin(self, problem):
        """The variables of a descent at its first step, at the images."""

    @abc.abstractmethod
    def point(self, problem, variables):
        """Where a descent looks at the loss, `(batch, pixels)`."""

    @abc.abstractmethod
    def move(self, problem, variables, flat, gradients, step):
        """The variables after a step.

        Args:
            flat: what `point` says of the variables.
            gradients: of the loss, there.
            step: float32 `(batch, 1)`, counts from 0.
        """

    @abc.abstractmethod
    def candidates(self, problem, flat, scores, moved):
        """Images of a step that may be adversarial, and their scores.

        Args:
            flat: the point before the move.
            scores: there.
            moved: the variables after it.
        """

    @abc.abstractmethod
    def size(self, changes):
        """What is to be smallest about a success, `(batch,)`.

        Args:
            changes: of the image, in ranges of the bounds.
        """

    def start(self, problem, rows):
        del rows
        scores = problem.scores(problem.images)
        hinge = self._hinge(problem, scores)
        misclassified = problem.is_adversarial(scores)
        zeros = tf.zeros_like(hinge)
        counts = tf.zeros((problem.batch,), tf.int32)
        return {
            **self.begin(problem),
            # Without a loss there is no way down.
            "active": ~misclassified & tf.math.is_finite(hinge),
            "result": problem.images,
            "distance": zeros + np.inf,
            "found": tf.zeros_like(misclassified),
            "constant": zeros + self.initial_const,
            "lower": zeros,
            "upper": zeros + np.inf,
            "constants_tried": counts,
            "step": counts,
            "first_hinge": hinge,
            "last_loss": self.initial_const * hinge,
        }

    def advance(self, problem, state):
        """A tenth of a descent's steps, and then a look at the progress."""
        anchor = self.point(problem, self.begin(problem))
        names = (*self.variables, "result", "distance", "found")
        step, search = tf.while_loop(
            lambda step, search: True,
            lambda step, search: (
                step + 1,
                self._step(problem, state, anchor, step, search),
            ),
            (state["step"], {name: state[name] for name in names}),
            maximum_iterations=math.ceil(self.steps / 10),
        )
        state = {**state, **search, "step": step}
        ended = step >= self.steps
        if self.abort_early:
            flat = self.point(problem, search)
            hinge = self._hinge(problem, problem.scores(flat))
            change = (flat - anchor) / problem.range
            loss = state["constant"] * hinge + _squared_size(change)
            # A loss that is no number is no progress either.
            ended |= ~(loss <= _PROGRESS * state["last_loss"])
            state["last_loss"] = loss
        return {
            **{name: state[name] for name in ("result", "distance")},
            **choose(ended, self._next_descent(problem, state), state),
        }

    def _step(self, problem, state, anchor, step, search):
        flat = self.point(problem, search)
        scores, gradients = problem.gradient(
            lambda scores: state["constant"] * self._hinge(problem, scores),
            flat,
        )
        gradients += 2.0 * (flat - anchor) / problem.range**2
        count = tf.cast(step, tf.float32)[:, None]
        moved = self.move(problem, search, flat, gradients, count)
        tried, scores = self.candidates(problem, flat, scores, moved)
        success = problem.is_adversarial(scores) & (
            problem.margin(scores) >= self.confidence
        )
        # The last tenth can be a short one.
        success &= state["active"] & (step < self.steps)
        distance = self.size((tried - problem.images) / problem.range)
        better = success & (distance < search["distance"])
        closest = {"result": tried, "distance": distance}
        return {
            **moved,
            **choose(better, closest, search),
            "found": search["found"] | success,
        }

    def _hinge(self, problem, scores):
        return tf.nn.relu(self.confidence - problem.margin(scores))

    def _next_descent(self, problem, state):
        """The start of the descent with the next constant."""
        constant, found = state["constant"], state["found"]
        lower = tf.where(found, state["lower"], constant)
        upper = tf.where(found, constant, state["upper"])
        following = tf.where(
            tf.math.is_inf(upper), 10.0 * constant, (lower + upper) / 2.0
        )
        tried = state["constants_tried"] + 1
        if self.binary_search_steps >= _MANY_CONSTANTS:
            following = tf.where(
                tried == self.binary_search_steps - 1,
                tf.minimum(upper, _LARGEST_CONSTANT),
                following,
            )
        return {
            **self.begin(problem),
            "active": state["active"] & (tried < self.binary_search_steps),
            "found": tf.zeros_like(found),
            "constant": following,
            "lower": lower,
            "upper": upper,
            "constants_tried": tried,
            "step": tf.zeros_like(tried),
            "last_loss": following * state["first_hinge"],
        }


def _squared_size(changes):
    return tf.reduce_sum(tf.square(changes), 1)
