"""Random squares of the image, kept where they help: no gradient is asked for.

Source: Andriushchenko et al., "Square attack: a query-efficient black-box
adversarial attack via random search" (2020), the last of AutoAttack; in L1
Croce and Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image
classifiers" (2021).
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import adaptor
from dim_tf.attacks import checks
from dim_tf.attacks import speculation
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.hills import L1Hills
from dim_tf.attacks.hills import L2Hills
from dim_tf.attacks.problem import decided
from dim_tf.attacks.pursuit import Pursuit
from dim_tf.attacks.squares import LinfSquares
from dim_tf.attacks.squares import Squares
from dim_tf.attacks.squares import levels

_KINDS: dict[str, Callable[..., Squares]] = {
    "l1": L1Hills,
    "l2": L2Hills,
    "linf": LinfSquares,
}


@frozen
class SquareAttack(Pursuit):
    """Random squares, each kept if it leads nearer to the goal.

    Begins with stripes (Linf) or tiles of the whole epsilon, in L1 if it is no
    more than they have. In Linf every channel of a square goes up or down by as
    much as it may, and the other way where it has already; in the others a
    pattern takes over the room that two squares of the image have in epsilon.
    Asks for scores only, and climbs the margin. A square may lie anywhere,
    where the authors' programs leave out the last row and column.

    Proposals are made from the last one that was kept. Where few samples are
    left, many are tried in one model call, and what follows the first to be
    kept is thrown away: the answer is that of one at a time, and so is the
    number of queries, while the model is asked more.

    Attributes:
        norm: `"l1"`, `"l2"` or `"linf"`.
        queries: proposals at most, the first pattern aside.
        area: share of the image that the first squares have.
    """

    changing: ClassVar[tuple[str, ...]] = ("active", "result", "loss", "query")
    steps_together: ClassVar[int] = 20
    norm: str = "linf"
    queries: int = 5000
    area: float = 0.8

    def __post_init__(self):
        checks.one_of("norm", self.norm, _KINDS)
        checks.at_least("queries", self.queries, 1)
        if not 0 < self.area <= 1:
            raise ValueError(
                f"area must be above 0 and at most 1, got {self.area!r}"
            )

    def start(self, problem, rows):
        if len(problem.shape) != 3:
            raise ValueError(
                "SquareAttack needs images (batch, height, width, channels), "
                f"got (batch, {', '.join(map(str, problem.shape))})"
            )
        kind = _KINDS[self.norm](problem, rows["epsilon"], self.area)
        own = problem.scores(problem.images)
        first = kind.first()
        scores = problem.scores(first)
        adversarial = problem.is_adversarial(own)
        return {
            "active": ~adversarial & ~problem.is_adversarial(scores),
            "result": tf.where(adversarial[:, None], problem.images, first),
            "loss": _loss(problem, scores),
            "query": tf.zeros((problem.batch,), tf.int32),
        }

    def step(self, problem, state):
        """As many proposals as go into one call of the model."""
        result, loss = state["result"], state["loss"]
        kind = _KINDS[self.norm](problem, state["epsilon"], self.area)
        # Squares of large images fill the memory.
        most = adaptor.GRID_VALUES // problem.pixels
        together = speculation.together(problem, most)
        queries = state["query"][:, None] + tf.range(together)
        level = tf.gather(
            levels(self.queries), tf.minimum(queries, self.queries - 1)
        )
        tried = kind.proposals(result, queries, level)
        scores = problem.scores(tried)
        losses = _loss(problem, scores)
        # What was not asked for must not be found.
        allowed = (queries < self.queries) & state["active"][:, None]
        kept = allowed & (losses > loss[:, None])
        any_kept, first = tf.reduce_any(kept, 1), tf.argmax(kept, 1)

        def of_first(values):
            return tf.gather(values, first, batch_dims=1)

        found = any_kept & of_first(problem.is_adversarial(scores))
        query = state["query"] + tf.where(
            any_kept, tf.cast(first, tf.int32) + 1, together
        )
        return {
            "active": state["active"] & ~found & (query < self.queries),
            "result": tf.where(any_kept[:, None], of_first(tried), result),
            "loss": tf.where(any_kept, of_first(losses), loss),
            "query": query,
        }


def _loss(problem, scores):
    """The margin, of which what names no class is the worst."""
    return tf.where(decided(scores), problem.margin(scores), -np.inf)
