"""Everything that makes an attack of ours an attack of foolbox.

An attack is a frozen dataclass of hyper-parameters with pure functions on a
`Problem`. A base, here or in `minimization`, gives it foolbox's call:

    attack(fmodel, images, labels_or_criterion, epsilons=...)
        -> raw adversarials, clipped adversarials, success

NumPy arrays are taken for images and labels as well; adversarials are always
TensorFlow tensors. Unlike in foolbox, a sample whose scores name no class (one
is NaN, the largest infinite, or the best two equal) is never adversarial,
labels may be of any integer dtype, a failing sample fails alone, and attacks
that climb the cross-entropy there climb the log-odds here, which are not flat
where it is. The same call gives the same answer: restarts are `repeat(10)`, or
calls with another `seed` each, and not the same call ten times.

A model is traced when it is first attacked. Weights that change later are
followed, but by ABS (see `LatentSearch`); what is in plain Python, such as a
switch that the model looks at, is not: after such a change, wrap the model in a
new `foolbox.TensorFlowModel`.
"""

import abc
import dataclasses
import itertools
from collections.abc import Callable
from typing import ClassVar
from typing import Self
from typing import dataclass_transform

import foolbox
import keras
import numpy as np
import tensorflow as tf

from dim_tf.attacks import calling
from dim_tf.attacks import graphs
from dim_tf.attacks import judging
from dim_tf.attacks import samples as samples_module
from dim_tf.attacks.calling import Repeated
from dim_tf.attacks.graphs import Graphs
from dim_tf.attacks.graphs import Rows
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.problem import Problem
from dim_tf.attacks.samples import Samples

# Epsilons are tried together until a model call sees about so many images:
# fewer would not fill the cores, more would be wasted on samples that a smaller
# one is enough for.
GRID_ROWS = 512
# And no more values: what layers make of large images fills the memory.
GRID_VALUES = GRID_ROWS * 32 * 32 * 3


@dataclass_transform(frozen_default=True, kw_only_default=True)
def frozen(attack):
    """Makes a class a frozen dataclass with keyword arguments only."""
    return dataclasses.dataclass(frozen=True, kw_only=True)(attack)


@frozen
class Native(foolbox.attacks.base.AttackWithDistance, abc.ABC):
    """What fixed-epsilon and minimization attacks share.

    A subclass is a dataclass made by `frozen`; equal attacks share their
    compiled graphs.

    Attributes:
        supports_targets: whether a targeted criterion is allowed.
        supports_starting_points: whether the call takes `starting_points`.
        jit_compile: whether XLA compiles the attack. It pays on GPUs and for
            dense nets, and costs on CPUs for convolutions.
        seed: of everything random. A sample draws from this seed and its own
            pixels, so that its result is the same in any batch.
    """

    supports_targets: ClassVar[bool] = True
    supports_starting_points: ClassVar[bool] = False
    # How to run an attack is no part of what it is.
    jit_compile: bool = dataclasses.field(default=False, repr=False)
    # Nor of its graphs: attacks that differ in the seed alone share them.
    seed: int = dataclasses.field(default=0, compare=False, repr=False)

    @property
    @abc.abstractmethod
    def norm(self) -> str:
        """Name of the attack's norm, a key of `norms.NORMS`."""

    @property
    def distance(self) -> foolbox.distances.LpDistance:
        return NORMS[self.norm].distance

    @abc.abstractmethod
    def steps_by_name(self) -> dict[str, Callable]:
        """The functions `(problem, rows) -> dict` that make up the attack."""

    @abc.abstractmethod
    def solve(self, samples: Samples, epsilons: list[float | None]):
        """Raw and clipped adversarials and success for every epsilon.

        Returns:
            float32 `(epsilons, batch, pixels)` twice, bool `(epsilons, batch)`.
        """

    def __call__(self, model, inputs, criterion, *, epsilons, **kwargs):
        """Attacks a batch, see the module's text.

        Args:
            model: foolbox model, such as `foolbox.TensorFlowModel`.
            inputs: float `(batch, ...)` within the model's bounds.
            criterion: integer labels `(batch,)`, a foolbox `Misclassification`
                or `TargetedMisclassification`, or a `MarginMisclassification`.
            epsilons: one, or a sequence; None (minimization attacks only)
                means no limit.
            starting_points: where supported, adversarial images like `inputs`
                to start from; a row that is not adversarial counts as none.

        Raises:
            ValueError: an argument is not as above; says which.
            TypeError: an unknown keyword.
        """
        return calling.call(
            self, self.check(model, inputs, criterion, **kwargs), epsilons
        )

    def check(self, model, inputs, criterion, **kwargs) -> Samples:
        """The arguments of a call as samples; raises like `__call__`."""
        starting_points = None
        if self.supports_starting_points:
            starting_points = kwargs.pop("starting_points", None)
        if kwargs:
            raise TypeError(
                f"{type(self).__name__} got an unexpected keyword argument "
                f"{next(iter(kwargs))!r}"
            )
        checked = samples_module.check(
            model, inputs, criterion, starting_points, self.seed
        )
        if checked.targeted and not self.supports_targets:
            raise ValueError(
                f"{type(self).__name__} has no targeted form; expected labels "
                "or a Misclassification criterion"
            )
        return checked

    def for_model(self, model: keras.Model) -> Self:
        """The attack with what it needs of a model beside its scores.

        Args:
            model: images -> dict of outputs.

        Raises:
            ValueError: the model does not have it.
        """
        del model
        return self

    def compiled(self, samples: Samples) -> Graphs:
        """The compiled attack."""
        return graphs.of_attack(samples.model, self, *samples.setting)

    def judge(self, samples: Samples, candidates) -> np.ndarray:
        """Which candidates `(batch, pixels)` are adversarial: bool."""
        _, success = judging.judge_samples(
            samples, self.norm, candidates, [None], self.jit_compile
        )
        return success[0]

    def repeat(self, times: int) -> Repeated:
        """The best of several runs with other seeds, made side by side."""
        return Repeated(self, times)


@frozen
class FixedEpsilon(Native, foolbox.attacks.base.FixedEpsilonAttack):  # type: ignore[misc]
    """An attack that looks for an adversarial within a given epsilon.

    Epsilons are tried in ascending order, and what is found within one of them
    is the answer to all larger ones: success never falls as epsilon grows.
    """

    def prepare(self, problem: Problem) -> Rows:
        """What does not depend on epsilon, `(batch, ...)` each by name."""
        return {}

    @abc.abstractmethod
    def perturb(self, problem: Problem, epsilon, prepared: Rows):
        """Perturbed images `(batch, pixels)` for epsilons `(batch, 1)`."""

    def steps_by_name(self):
        return {
            "prepare": lambda problem, rows: self.prepare(problem),
            "attempt": self._attempt,
        }

    def _attempt(self, problem, rows):
        epsilon = rows["epsilon"]
        raw = self.perturb(problem, epsilon, rows)
        return {"raw": raw, **judging.judge(problem, self.norm, raw, epsilon)}

    def prepared(self, samples: Samples) -> Samples:
        """Samples with what `prepare` makes of them."""
        if type(self).prepare is FixedEpsilon.prepare:
            return samples
        rows = samples.rows
        more = self.compiled(samples)("prepare", rows)
        return dataclasses.replace(samples, rows={**rows, **more})

    def attempt(self, samples: Samples, epsilons) -> Rows:
        """One try for each sample, within an epsilon of its own.

        Args:
            samples: prepared.
            epsilons: float `(batch,)`.

        Returns:
            dict: `raw` and `clipped` float32 `(batch, pixels)`, `success` bool.
        """
        rows = self.within(samples, epsilons)
        return self.compiled(samples)("attempt", rows)

    def within(self, samples: Samples, epsilons) -> Rows:
        """Rows of samples with an epsilon each."""
        limits = tf.constant(np.asarray(epsilons, np.float32)[:, None])
        return {**samples.rows, "epsilon": limits}

    def solve(self, samples, epsilons):
        if None in epsilons:
            raise NotImplementedError(
                f"{type(self).__name__} needs an epsilon, got None; give one "
                "or several epsilons >= 0"
            )
        samples = self.prepared(samples)
        shape = (len(epsilons), len(samples))
        pixels = samples.rows["images"].shape[1]
        raw = np.empty((*shape, pixels), np.float32)
        clipped, success = np.empty_like(raw), np.zeros(shape, bool)
        most = min(GRID_ROWS, GRID_VALUES // pixels)
        ascending = np.argsort(epsilons, kind="stable")
        left, waiting = np.arange(len(samples)), ascending
        while len(left) and len(waiting):
            together = max(1, most // len(left))
            now, waiting = waiting[:together], waiting[together:]
            outputs = self.attempt(
                samples.take(np.tile(left, len(now))),
                np.repeat(np.take(epsilons, now), len(left)),
            )
            places = np.ix_(now, left)
            for array, name in (
                (raw, "raw"),
                (clipped, "clipped"),
                (success, "success"),
            ):
                array[places] = tf.reshape(
                    outputs[name], (len(now), len(left), *array.shape[2:])
                )
            left = left[~success[places].any(axis=0)]
        for smaller, larger in itertools.pairwise(ascending):
            known = success[smaller]
            for array in (raw, clipped, success):
                array[larger, known] = array[smaller, known]
        return raw, clipped, success

    def run(self, model, inputs, criterion, *, epsilon, **kwargs):
        checked = self.check(model, inputs, criterion, **kwargs)
        return calling.restored(inputs, calling.call(self, checked, epsilon)[0])
