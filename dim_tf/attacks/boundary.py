"""A random walk along the decision boundary, toward the image."""

from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import choose
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import l2_size
from dim_tf.attacks.starting_points import find_starting_points

# Latest verdicts from which the two success rates are taken.
_SPHERICAL_VERDICTS = 100
_VERDICTS = 30
_NO_VERDICT = -1
_ADAPTED = ("spherical_step", "source_step", "spherical_verdicts", "verdicts")


@frozen
class BoundaryAttack(Minimization):
    """Walks along the decision boundary and steps toward the image.

    A proposal is a random step on the sphere around the image, and a short one
    toward it; adversarial ones that are closer are taken. Both step sizes
    adapt to how often proposals are adversarial. Asks for decisions only.

    Source: Brendel et al., "Decision-based adversarial attacks" (2018).
    foolbox draws one direction for the whole batch, and goes on with a sample
    that has converged for as long as another has not.

    Attributes:
        steps: proposals.
        spherical_step: first step on the sphere, in distances.
        source_step: first step toward the image, in distances.
        source_step_convergance: `source_step` that ends the attack.
        step_adaptation: factor by which steps grow and shrink.
        update_stats_every_k: steps between two entries of the success rates.
    """

    changing: ClassVar[tuple[str, ...]] = (
        *("active", "result", "step"),
        *_ADAPTED,
    )
    steps_together: ClassVar[int] = 500
    norm: ClassVar[str] = "l2"
    supports_starting_points: ClassVar[bool] = True
    steps: int = 25000
    spherical_step: float = 1e-2
    source_step: float = 1e-2
    source_step_convergance: float = 1e-7
    step_adaptation: float = 1.5
    update_stats_every_k: int = 10

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)
        checks.at_least("update_stats_every_k", self.update_stats_every_k, 1)
        checks.at_least("step_adaptation", self.step_adaptation, 1)

    def start(self, problem, rows):
        points, elsewhere = find_starting_points(problem, rows)
        ones = tf.ones((problem.batch, 1))
        verdicts = tf.cast(_NO_VERDICT * ones, tf.int8)
        return {
            "active": elsewhere,
            "result": points,
            "step": tf.zeros((problem.batch,), tf.int32),
            "spherical_step": self.spherical_step * ones,
            "source_step": self.source_step * ones,
            "spherical_verdicts": tf.repeat(verdicts, _SPHERICAL_VERDICTS, 1),
            "verdicts": tf.repeat(verdicts, _VERDICTS, 1),
        }

    def step(self, problem, walk):
        active, result = walk["active"], walk["result"]
        step = walk["step"] + tf.cast(active, tf.int32)
        on_sphere, candidates = self._propose(problem, walk)
        adversarial = problem.fooled_by(candidates)
        distance = l2_size(problem.images - result)[:, 0]
        closer = l2_size(problem.images - candidates)[:, 0] < distance
        taken = active & adversarial & closer
        counts = active & (step % self.update_stats_every_k == 0)
        adapted = tf.cond(
            tf.reduce_any(counts),
            lambda: self._adapt(problem, walk, counts, on_sphere, adversarial),
            lambda: {name: walk[name] for name in _ADAPTED},
        )
        converged = adapted["source_step"] < self.source_step_convergance
        return {
            **adapted,
            "active": active & ~converged[:, 0] & (step < self.steps),
            "result": tf.where(taken[:, None], candidates, result),
            "step": step,
        }

    def _propose(self, problem, walk):
        """Candidates on the sphere, and closer to the image."""
        images, result = problem.images, walk["result"]
        way = images - result
        distance = tf.maximum(l2_size(way), FLOOR)
        direction = way / distance
        noise = splitmix.normal(problem.seeds, problem.pixels, walk["step"])
        noise -= tf.reduce_sum(noise * direction, 1, True) * direction
        length = walk["spherical_step"] * distance
        noise *= length / tf.maximum(l2_size(noise), FLOOR)
        stretch = tf.sqrt(1.0 + tf.square(walk["spherical_step"]))
        on_sphere = problem.clip(images + (noise - way) / stretch)
        way = images - on_sphere
        size = tf.maximum(l2_size(way), FLOOR)
        # Clipping may have led off the sphere.
        length = walk["source_step"] * distance + size - distance
        candidates = on_sphere + tf.maximum(length, 0.0) / size * way
        return on_sphere, problem.clip(candidates)

    def _adapt(self, problem, walk, counts, on_sphere, adversarial):
        """Step sizes by the latest verdicts, of the rows that count."""
        spherical = problem.fooled_by(on_sphere)
        spherical_verdicts, spherical_factor = self._judge(
            walk["spherical_verdicts"], spherical, 0.2, 0.5
        )
        verdicts, factor = self._judge(walk["verdicts"], adversarial, 0.1, 0.25)
        adapted = {
            "spherical_step": walk["spherical_step"] * spherical_factor,
            "source_step": walk["source_step"] * spherical_factor * factor,
            "spherical_verdicts": spherical_verdicts,
            "verdicts": verdicts,
        }
        return choose(counts, adapted, walk)

    def _judge(self, verdicts, latest, few, many):
        """The verdicts with the latest one, and the factor of the steps.

        Without a factor the oldest verdict leaves, with one they all do.
        """
        latest = tf.cast(latest, tf.int8)[:, None]
        verdicts = tf.concat([verdicts[:, 1:], latest], 1)
        full = tf.reduce_all(verdicts != _NO_VERDICT, 1, keepdims=True)
        rate = tf.reduce_mean(tf.cast(verdicts, tf.float32), 1, keepdims=True)
        grow, shrink = full & (rate > many), full & (rate < few)
        factor = tf.where(grow, self.step_adaptation, 1.0)
        factor = tf.where(shrink, 1.0 / self.step_adaptation, factor)
        emptied = tf.fill(tf.shape(verdicts), tf.constant(_NO_VERDICT, tf.int8))
        return tf.where(grow | shrink, emptied, verdicts), factor
