"""What a call of an attack answers: blocks of samples, best of several runs."""

from typing import Any

import eagerpy
import foolbox
import numpy as np
import tensorflow as tf

from dim_tf.attacks import samples as samples_module
from dim_tf.attacks.norms import NORMS

# What one graph sees at most; bounds the memory of an attack.
BLOCK_ROWS = 1000


class Repeated(foolbox.attacks.base.Repeated):
    """The closest success of several runs of an attack."""

    attack: Any  # of ours, see `adaptor.Native`

    def __call__(self, model, inputs, criterion, *, epsilons, **kwargs):
        checked = self.attack.check(model, inputs, criterion, **kwargs)
        return call(self, checked, epsilons, self.times)

    def repeat(self, times: int) -> "Repeated":
        return Repeated(self.attack, self.times * times)

    def solve(self, samples, epsilons):
        count, pixels = samples.rows["images"].shape
        run = np.repeat(np.arange(self.times), count)
        runs = samples.take(np.tile(np.arange(count), self.times))
        # Attacks of different seeds share no run.
        first = (self.times - 1) * self.attack.seed
        runs.rows["seeds"] += np.stack([first + run, 0 * run], 1).astype(
            np.int32
        )
        raw, clipped, success = self.attack.solve(runs, epsilons)
        shape = (len(epsilons), self.times, count)
        changes = clipped - runs.rows["images"].numpy()
        sizes = NORMS[self.attack.norm].size(changes).numpy()[..., 0]
        sizes = np.where(success, sizes, np.inf).reshape(shape)
        best = sizes.argmin(axis=1)[:, None, :, None]
        raw, clipped = (
            np.take_along_axis(array.reshape(*shape, pixels), best, 1)[:, 0]
            for array in (raw, clipped)
        )
        return raw, clipped, np.isfinite(sizes).any(axis=1)


def restored(inputs, raw):
    """Answers of the kind that attacks of foolbox take from each other."""
    return eagerpy.astensor(raw) if isinstance(inputs, eagerpy.Tensor) else raw


def call(attack, samples, epsilons, runs=1):
    """foolbox's results of `attack.solve`, a block of samples at a time.

    A sample takes as many rows of a block as there are runs.
    """
    budgets, several = samples_module.as_epsilons(epsilons)
    size = max(1, BLOCK_ROWS // runs)
    everything = np.arange(len(samples))
    blocks = [
        attack.solve(samples.take(everything[first : first + size]), budgets)
        for first in everything[::size]
    ]
    raw, clipped, success = (
        tf.concat(parts, 1) for parts in zip(*blocks, strict=True)
    )
    raw, clipped = samples.unflatten(raw), samples.unflatten(clipped)
    if several:
        return tf.unstack(raw), tf.unstack(clipped), success
    return raw[0], clipped[0], success[0]
