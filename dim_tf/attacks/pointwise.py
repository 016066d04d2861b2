"""Takes the pixels of an adversarial image back, one after the other."""

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import graphs
from dim_tf.attacks import speculation
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.salt_and_pepper import SparseSaltAndPepper
from dim_tf.attacks.starting_points import find_starting_points


@frozen
class PointwiseAttack(Minimization):
    """Takes changed pixels back for as long as the image stays adversarial.

    Changed pixels are tried in a random order; the first one that can be taken
    back is, and the rest is tried in a new order. At the end no single pixel
    can be taken back. Starts from salt-and-pepper noise, or from what
    `starting_points` finds where a model sees the image's own class in all
    noise, unless the call gives starting points. Asks for decisions only.

    Source: Schott et al., "Towards the first adversarially robust neural
    network model on MNIST" (2019), and foolbox 2.4.0; the attack of this name
    in foolbox 3 does not draw new orders. The bisection of the pixels that are
    left, which cannot lower their number, is left out.
    """

    changing: ClassVar[tuple[str, ...]] = ("active", "result", "tried", "order")
    steps_together: ClassVar[int] = 50
    norm: ClassVar[str] = "l0"
    supports_starting_points: ClassVar[bool] = True

    def solve(self, samples, epsilons):
        starts = samples.rows.get("starting_points", samples.rows["images"])
        starts = starts.numpy()
        missing = np.flatnonzero(~self.judge(samples, starts))
        if len(missing):
            search = SparseSaltAndPepper(jit_compile=self.jit_compile)
            few = samples.take(missing)
            found = graphs.run_until_done(search.compiled(few), few.rows)
            starts[missing] = found["result"]
        rows = {**samples.rows, "starting_points": tf.constant(starts)}
        return super().solve(dataclasses.replace(samples, rows=rows), epsilons)

    def start(self, problem, rows):
        points, elsewhere = find_starting_points(problem, rows)
        return {
            "active": elsewhere,
            "result": points,
            "tried": tf.zeros_like(points, tf.bool),
            "order": tf.zeros((problem.batch,), tf.int32),
        }

    def step(self, problem, search):
        """The next pixels of each row's order, in one call of the model."""
        result, order = search["result"], search["order"]
        images = problem.images
        together = speculation.together(problem)
        together = tf.minimum(together, problem.pixels)
        keys = splitmix.uniform(problem.seeds, problem.pixels, order)
        left = (result != images) & ~search["tried"]
        keys, pixels = tf.math.top_k(tf.where(left, keys, 0.0), together)
        valid = keys > 0
        taken = valid[..., None] & tf.one_hot(
            pixels, problem.pixels, on_value=True, off_value=False
        )
        candidates = tf.where(taken, images[:, None], result[:, None])
        found = valid & problem.fooled_by(candidates)
        first = tf.argmax(found, 1)
        found = tf.reduce_any(found, 1) & search["active"]
        result = tf.where(
            found[:, None], tf.gather(candidates, first, batch_dims=1), result
        )
        tried = search["tried"] | tf.reduce_any(taken, 1)
        tried &= ~found[:, None]
        return {
            "active": tf.reduce_any((result != images) & ~tried, 1)
            & search["active"],
            "result": result,
            "tried": tried,
            "order": order + tf.cast(found, tf.int32),
        }
