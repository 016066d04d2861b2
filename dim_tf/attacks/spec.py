"""One attack of a suite, and the epsilons that it is called with."""

import dataclasses

import keras

from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import Native
from dim_tf.attacks.pursuit import Pursuit

# The paper's thresholds are among them; others are to be put there, see
# `AttackSpec.including`.
EPSILONS = {
    "l1": (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50),
    "l2": (0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6),
    "linf": (
        *(0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3),
        *(0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1),
    ),
    "l0": (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100),
}
# What an attack asks of the model.
GRADIENTS = "gradients"
SCORES = "scores"
DECISIONS = "decisions"
NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class AttackSpec:
    """One attack of a suite.

    Attributes:
        name: of its row in records and tables.
        access: what it asks of the model: `GRADIENTS` and so on.
        attack: the attack, hyper-parameters and all.
        repeats: runs of which the best counts, of an attack without a grid.
        grid: epsilons for an attack that takes some; empty: those of its norm,
            or of what is too long for many, the threshold, see `including`.
    """

    name: str
    access: str
    attack: Native
    repeats: int = 1
    grid: tuple[float, ...] = ()

    def __post_init__(self):
        if self.at_threshold and len(self.grid) > 1:
            raise ValueError(
                f"{self.name} is too long for more than one epsilon, got "
                f"{', '.join(map(str, self.grid))}"
            )
        if self.repeats > 1 and self.has_grid:
            raise ValueError(
                "repeats are for attacks that take the threshold alone or no "
                f"epsilon, got {self.repeats} for {self.name}, which takes "
                "others; make a row for each run"
            )

    @property
    def norm(self) -> str:
        return self.attack.norm

    @property
    def at_threshold(self) -> bool:
        """Whether it is too long for more than one epsilon."""
        return isinstance(self.attack, Pursuit)

    @property
    def has_grid(self) -> bool:
        """Whether it is asked for the least of several epsilons."""
        return isinstance(self.attack, FixedEpsilon) and not self.at_threshold

    @property
    def epsilons(self) -> tuple[float | None, ...]:
        """What to call it with: a grid, or no limit at all."""
        if self.at_threshold:
            return self.grid
        return self.grid or EPSILONS[self.norm] if self.has_grid else (None,)

    def including(self, epsilon: float) -> "AttackSpec":
        """This row, with a threshold among its epsilons.

        Whether an attack is enough within a threshold is known for sure only if
        it was called with that. What is too long for more is called with that
        alone; a row that has epsilons of its own keeps them.
        """
        if self.at_threshold:
            return dataclasses.replace(self, grid=self.grid or (epsilon,))
        if not self.has_grid or self.grid:
            return self
        grid = sorted({*EPSILONS[self.norm], epsilon})
        return dataclasses.replace(self, grid=tuple(grid))

    def for_model(self, model: keras.Model) -> "AttackSpec":
        """This row with an attack that knows a model, see `Native`."""
        return dataclasses.replace(self, attack=self.attack.for_model(model))

    def runnable(self, *, jit_compile: bool = False, seed: int = 0):
        """The foolbox attack to call."""
        attack = dataclasses.replace(
            self.attack, jit_compile=jit_compile, seed=seed
        )
        return attack.repeat(self.repeats) if self.repeats > 1 else attack
