"""What there is to attack, cut into files, and what of it is left to do.

A cell is a model and an attack; a shard is some of its samples, and a file.
What has a file is not made again, so that a run that was killed goes on where
it was, and a run with more samples adds to one with fewer.
"""

import dataclasses
import pathlib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np

from dim_tf.attacks import BinarizationRefinementAttack
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import results
from dim_tf.evaluation.search import CLIP_TRIES
from dim_tf.evaluation.search import is_clipped

# Of what is found on models that binarize their input.
REFINEMENT = BinarizationRefinementAttack()


@dataclasses.dataclass(frozen=True)
class Cell:
    """An attack on a model.

    Attributes:
        model: name of the model.
        weights_digest: of its weights.
        dataset: name of the images' data set.
        preset: of the suite that the attack is from, or `results.PROBE`.
        spec: the attack.
        seed: of everything random.
        search_view: of the model, which the attack searches on; empty: the
            model itself.
        refined: whether `REFINEMENT` follows the attack.
        settings: of the model, those that its weights do not tell and that are
            not the defaults.
    """

    model: str
    weights_digest: str
    dataset: str
    preset: str
    spec: AttackSpec
    seed: int
    search_view: Mapping[str, int] = dataclasses.field(default_factory=dict)
    refined: bool = False
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def of_model(self) -> results.Fingerprint:
        """What all records of a model have in common."""
        return {
            "weights_digest": self.weights_digest,
            "dataset": self.dataset,
            "settings": dict(self.settings) or None,
            "refinement": repr(REFINEMENT) if self.refined else None,
        }

    @property
    def fingerprint(self) -> results.Fingerprint:
        """What a shard's records depend on."""
        return {
            **self.of_model,
            "attack": repr(self.spec.attack),
            "repeats": self.spec.repeats,
            "epsilons": list(self.spec.epsilons),
            "clip_tries": CLIP_TRIES if is_clipped(self.spec) else None,
            "seed": self.seed,
            "search_view": dict(self.search_view),
        }


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some samples of a cell, and the file that their records go to.

    Attributes:
        cell: the attack, and the model.
        path: of the file.
        positions: of the samples, in the order in which they are attacked.
        num_adversarials: positions below this keep their adversarials; None:
            all do.
    """

    cell: Cell
    path: pathlib.Path
    positions: range
    num_adversarials: int | None = None


def stratified(labels: np.ndarray) -> np.ndarray:
    """An order of samples in which every beginning has all classes alike.

    Args:
        labels: int64 `(n,)`.

    Returns:
        int64 `(n,)` positions: the first sample of every class, then the
        second of every class, and so on. The first 100 are among the first
        1000.
    """
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranks[members] = np.arange(len(members))
    return np.lexsort((labels, ranks))


def evenly(labels: np.ndarray, count: int | None = None) -> np.ndarray:
    """Positions of so many samples, evenly of all classes: see `stratified`.

    Fewer than there are classes are of the first ones alone.

    Args:
        labels: int64 `(n,)`.
        count: how many; None: all.

    Raises:
        ValueError: there are not so many.
    """
    if count is not None and not 1 <= count <= len(labels):
        raise ValueError(
            f"num_examples must be from 1 to {len(labels)}, the number of "
            f"images there are, got {count}"
        )
    return stratified(labels)[:count]


def plan(
    folder: pathlib.Path,
    cells: Iterable[Cell],
    num_examples: int,
    shard_size: int,
    num_adversarials: int | None = None,
) -> list[Shard]:
    """The shards that are still to be made, cell by cell.

    Args:
        folder: of the results.
        cells: to make.
        num_examples: samples of each cell.
        shard_size: samples of a shard at most.
        num_adversarials: of the shards.

    Raises:
        ValueError: a shard that is there is damaged or was made with something
            else, or one of another attack with another model of that name;
            names both.
    """
    missing = []
    cells = list(cells)
    # A minimum over attacks on two models would be of neither, and one over
    # answers some of which are refined would be neither kind's.
    models = {cell.model: cell.of_model for cell in cells}
    for model, made_of in models.items():
        for path in sorted((folder / model).glob("*/*.parquet")):
            results.check_fingerprint(path, made_of)
    for cell in cells:
        place = folder / cell.model / cell.spec.name
        done = _done(place, cell)
        for first in range(0, num_examples, shard_size):
            wanted = range(first, min(first + shard_size, num_examples))
            for positions in _gaps(done, wanted):
                path = results.shard_path(place, positions)
                missing.append(Shard(cell, path, positions, num_adversarials))
    return missing


def left(shard: Shard) -> list[Shard]:
    """What of a shard others have not made since it was planned.

    Raises:
        ValueError: they have made it with something else; names both.
    """
    place = shard.path.parent
    return [
        dataclasses.replace(
            shard,
            path=results.shard_path(place, positions),
            positions=positions,
        )
        for positions in _gaps(_done(place, shard.cell), shard.positions)
    ]


def _done(place: pathlib.Path, cell: Cell) -> set[int]:
    """Positions of the samples whose records are in a folder."""
    done: set[int] = set()
    for path, positions in results.shards(place):
        results.check_fingerprint(path, cell.fingerprint)
        done.update(positions)
    return done


def _gaps(done: set[int], wanted: range) -> Iterator[range]:
    """What is not done of what is wanted."""
    start = wanted.start
    for position in wanted:
        if position in done:
            if start < position:
                yield range(start, position)
            start = position + 1
    if start < wanted.stop:
        yield range(start, wanted.stop)


def seconds_per_sample(
    folder: pathlib.Path, model: str, attack: str
) -> float | None:
    """What a sample has cost so far, with this model or else with others.

    Args:
        folder: of the results.
        model: name of the model.
        attack: name of the attack.

    Returns:
        Seconds; None where nothing is known of the attack.
    """
    own = folder / model / attack
    others = sorted(folder.glob(f"*/{attack}"))
    for places in ([own], others):
        seconds = list(filter(len, map(_seconds, places)))
        if seconds:
            return float(np.concatenate(seconds).mean())
    return None


def _seconds(place: pathlib.Path) -> np.ndarray:
    if not any(results.shards(place)):
        return np.empty(0)
    try:
        return results.read(place, ["seconds"])["seconds"].to_numpy()
    except (OSError, ValueError):  # whoever needs that file will say so
        return np.empty(0)
