"""What a sweep costs beside its attacks and their judging.

That is looking at the clean images, measuring distances, and writing.
"""

import pathlib
import tempfile
import time
from collections.abc import Iterable

import keras

from dim_tf import data
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import planning
from dim_tf.evaluation import results
from dim_tf.evaluation import sweep
from dim_tf.evaluation import thresholds


def shares(
    model: keras.Model,
    examples: data.Examples,
    specs: Iterable[AttackSpec],
    *,
    jit_compile: bool,
) -> dict[str, tuple[float, float]]:
    """Makes a shard with every attack, in a scratch folder.

    Args:
        model: images -> dict with `scores`.
        examples: of the shards.
        specs: the attacks.
        jit_compile: whether XLA compiles the attacks.

    Returns:
        By attack: the seconds of the second run, when all is compiled, and
        the share of them that the attack and its judging did not take.
    """
    subject = sweep.Subject(model, examples)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for spec in specs:
            spec = spec.including(thresholds.PAPER[spec.norm])
            cell = planning.Cell(model.name, "", "", "overhead", spec, seed=0)
            positions = range(len(examples))
            for _ in range(2):
                place = pathlib.Path(tempfile.mkdtemp(dir=scratch))
                path = results.shard_path(place, positions)
                shard = planning.Shard(cell, path, positions)
                started = time.perf_counter()
                sweep.run_shard(shard, subject, jit_compile=jit_compile)
                seconds = time.perf_counter() - started
            inside = sum(results.read(place)["seconds"].to_pylist())
            found[spec.name] = seconds, 1.0 - inside / seconds
    return found
