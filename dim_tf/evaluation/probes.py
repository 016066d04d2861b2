"""Attacks that check attacks: more of the same should gain little.

Carlini et al., "On evaluating adversarial robustness" (2019), section 4: an
attack that more steps or other starts make stronger has not converged, and its
robust accuracy is not the model's; and one that succeeds within a smaller
epsilon should within a larger one.
"""

import dataclasses
from collections.abc import Mapping

from dim_tf.attacks.gradient_descent import GradientDescent
from dim_tf.evaluation import results
from dim_tf.evaluation.planning import Cell


def probes(cell: Cell, thresholds: Mapping[str, float]) -> list[Cell]:
    """What checks a cell.

    Twice the steps; a random start of another seed; the norm's threshold as the
    only epsilon.

    Args:
        cell: an attack on a model.
        thresholds: by norm.

    Returns:
        Cells of the preset `probe`, named after the cell's attack; none for an
        attack that is no iterated gradient descent, and none for what the
        attack does anyway.
    """
    attack = cell.spec.attack
    if not isinstance(attack, GradientDescent) or attack.steps == 1:
        return []
    longer = dataclasses.replace(attack, steps=2 * attack.steps)
    random = dataclasses.replace(attack, random_start=True)
    alone = (thresholds[cell.spec.norm],)
    found = [
        _probe(cell, results.TWICE_THE_STEPS, cell.seed, attack=longer),
        _probe(cell, results.ANOTHER_START, cell.seed + 1, attack=random),
    ]
    if cell.spec.epsilons != alone:
        found.append(
            _probe(cell, results.THRESHOLD_ALONE, cell.seed, grid=alone)
        )
    return found


def _probe(cell, suffix, seed, **changes) -> Cell:
    spec = dataclasses.replace(
        cell.spec, name=cell.spec.name + suffix, **changes
    )
    return dataclasses.replace(cell, preset=results.PROBE, spec=spec, seed=seed)
