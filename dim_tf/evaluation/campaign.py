"""What models are attacked with, and what of that is left to do."""

import dataclasses
import pathlib
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from dim_tf.attacks.checks import at_least
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import planning
from dim_tf.evaluation import probes
from dim_tf.evaluation import thresholds
from dim_tf.evaluation.executors import Job
from dim_tf.evaluation.targets import Target

_LEAST = {"num_examples": 1, "shard_size": 1, "seed": 0}
# Random numbers take an int32, and a probe's seed is the next one.
LAST_SEED = 2**31 - 2


@dataclasses.dataclass(frozen=True)
class Campaign:
    """The same attacks on the same images, for one model or more.

    Attributes:
        preset: of the suite that the attacks are from.
        attacks: of it.
        num_examples: images, evenly of all classes.
        dataset: name of the images' data set, or a digest of them.
        limits: thresholds by norm, which attacks within an epsilon are called
            with, too.
        seed: of everything random.
        probes: whether `evaluation.probes` follow.
        refined: whether `planning.REFINEMENT` follows every attack.
        shard_size: samples attacked together and written to one file.
        num_adversarials: images, the first ones, whose adversarials are kept;
            None: all.
        shard_index, shard_count: of the machines that share the work, which
            one this is, and how many they are.

    Raises:
        ValueError: a number out of its range.
    """

    preset: str
    attacks: Sequence[AttackSpec]
    num_examples: int
    dataset: str
    limits: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: thresholds.PAPER
    )
    seed: int = 0
    probes: bool = True
    refined: bool = False
    shard_size: int = 100
    num_adversarials: int | None = None
    shard_index: int = 0
    shard_count: int = 1

    def __post_init__(self):
        for name, least in _LEAST.items():
            at_least(name, getattr(self, name), least)
        if self.seed > LAST_SEED:
            raise ValueError(
                f"seed must be at most {LAST_SEED}, got {self.seed}"
            )
        if not 0 <= self.shard_index < self.shard_count:
            raise ValueError(
                f"shard_index must be from 0 to less than shard_count="
                f"{self.shard_count}, got {self.shard_index}"
            )

    def cells(self, target: Target) -> list[planning.Cell]:
        """The attacks on a model, those of the probes last.

        Raises:
            ValueError: two have one name.
        """
        cells = [
            planning.Cell(
                model=target.name,
                weights_digest=target.weights_digest,
                dataset=self.dataset,
                preset=self.preset,
                spec=spec.including(self.limits[spec.norm]),
                # Of one's own attacks, those of several starts differ in it.
                seed=self.seed + spec.attack.seed,
                search_view=target.search_view,
                refined=self.refined,
                settings=target.settings,
            )
            for spec in self.attacks
        ]
        if self.probes:
            cells += [
                probe
                for cell in cells
                for probe in probes.probes(cell, self.limits)
            ]
        names = [cell.spec.name for cell in cells]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"several attacks or probes would be called {twice[0]}; choose "
                "another name"
            )
        return cells

    def jobs(self, found: Iterable[Target], results: pathlib.Path) -> list[Job]:
        """What is left to do on this machine.

        Args:
            found: the models.
            results: folder of the records.

        Raises:
            ValueError: as `planning.plan` or `cells`.
        """
        jobs = []
        for target in found:
            cells = self.cells(target)
            turns = {cell.spec.name: turn for turn, cell in enumerate(cells)}
            shards = planning.plan(
                results,
                cells,
                self.num_examples,
                self.shard_size,
                self.num_adversarials,
            )
            # By place and not by number: others' progress must not move the
            # shares.
            jobs += [
                Job(target, shard)
                for shard in shards
                if (
                    shard.positions[0] // self.shard_size
                    + turns[shard.cell.spec.name]
                )
                % self.shard_count
                == self.shard_index
            ]
        return jobs
