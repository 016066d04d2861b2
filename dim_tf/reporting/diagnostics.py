"""Signs that a robust accuracy is not what it seems, in words."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds
from dim_tf.reporting import statistics
from dim_tf.reporting import tables

ALARM, NOTE = "alarm", "note"
# Along smaller gradients Carlini-Wagner, EAD, DeepFool and NewtonFool, which do
# not scale them to a step whatever their size, fall short.
_LEAST_GRADIENT = 1e-8
# Of the samples by which an attack may do better by chance; above its rounding.
_MARGIN = 0.05 + 1e-9
# By the end of a probe's name: what it does, and what a gain is a sign of.
_CHECKS = {
    results.TWICE_THE_STEPS: ("with twice the steps", "it has not converged"),
    results.ANOTHER_START: (
        "and again from another start",
        "one start is not enough",
    ),
    results.THRESHOLD_ALONE: (
        "with smaller epsilons than the threshold",
        "success is not monotone in epsilon",
    ),
}


def diagnostics(
    records: pa.Table, limits: Mapping[str, float] = thresholds.PAPER
) -> list[tuple[str, str]]:
    """What to know before believing a table of records.

    Args:
        records: of `evaluation.results`.
        limits: thresholds by norm.

    Returns:
        Pairs of `"alarm"` or `"note"` and a sentence; none on attacks that
        are to be compared and have no sample in common.
    """
    cells = statistics.cells(records, limits)
    comparable, other = _by_threshold(records, limits)
    found = [
        *_misread(cells),
        *_failures(records),
        *_gradients(records),
        *_gains(cells, statistics.probes(comparable, limits)),
        *_other_thresholds(other, limits),
    ]
    reach = _reach(records)
    seeing = _seeing(records)
    groups: dict[tuple[str, str], list[statistics.Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.model, cell.norm), []).append(cell)
    for (model, norm), members in groups.items():
        epsilon = reach.get((model, norm), np.inf)
        found += _survivors(model, norm, members, epsilon, limits[norm])
        found += _blind_attacks(model, norm, members, seeing)
    gaps = tables.gaps(cells, tables.norms_of_paper(records))
    for norm, gap in gaps.items():
        sentence = (
            f"Minima with a * are over what is there alone, in "
            f"{tables.TITLES[norm]}: {gap}."
        )
        found.append((NOTE, sentence))
    return sorted(found, key=lambda pair: pair[0])  # alarms first


def _misread(cells):
    """Nobody attacks a model that is wrong more often than right."""
    for model, clean in statistics.clean_accuracy(cells).items():
        if clean.value < 0.5:
            yield (
                ALARM,
                f"{1 - clean.value:.0%} of the samples of {model} are "
                "misclassified without an attack: look whether the labels, "
                "the order of its classes and its bounds are what is meant.",
            )


def _failures(records):
    words = {
        "error": (ALARM, "broke"),
        "no_start": (NOTE, "found no starting point"),
    }
    for status, (level, verb) in words.items():
        rows = records.filter(pc.field("status") == status)
        places = rows.group_by(["model", "attack"], use_threads=False)
        wanted = [([], "count_all"), ("message", "max")]
        for row in places.aggregate(wanted).to_pylist():
            why = f" ({row['message_max']})" if row["message_max"] else ""
            yield (
                level,
                f"{row['attack']} {verb} on {row['count_all']} samples of "
                f"{row['model']}; they count as failures of the attack{why}.",
            )


def _gradients(records):
    """A gradient of zero leads nowhere, and is no robustness.

    Nor is one so small that some attacks do not scale it to a step.
    """
    by_model: dict[str, list[float]] = {}
    # Every attack records them; older records have the cross-entropy's, which
    # are no larger.
    samples = records.group_by(["model", "sample"], use_threads=False)
    for row in samples.aggregate([("gradient", "max")]).to_pylist():
        by_model.setdefault(row["model"], []).append(row["gradient_max"])
    for model, found in by_model.items():
        sizes = np.array(found, float)
        for lost, word in (
            (sizes < _LEAST_GRADIENT, "zero or next to it"),
            (np.isnan(sizes), "not finite"),
        ):
            if lost.any():
                yield (
                    ALARM,
                    f"Gradients of {model} are {word} at {lost.sum():,} of "
                    f"{len(sizes):,} clean images.",
                )
        if (sizes >= _LEAST_GRADIENT).all():
            yield (
                NOTE,
                f"Gradients of {model} can be followed at all of "
                f"{len(sizes):,} clean images.",
            )


def _gains(cells, probes):
    """More work, and smaller epsilons as well, should gain next to nothing."""
    attacks = {(cell.model, cell.attack): cell for cell in cells}
    same: dict[tuple[str, str], list[str]] = {}
    for probe in probes:
        suffix = next(s for s in _CHECKS if probe.attack.endswith(s))
        name = probe.attack.removesuffix(suffix)
        if (probe.model, name) not in attacks:
            continue
        attack = attacks[probe.model, name]
        both = statistics.closest([attack, probe])
        if not len(both.samples):
            continue
        # The threshold alone is the lesser work of the two.
        alone = suffix == results.THRESHOLD_ALONE
        before = _robust(probe if alone else attack, both.samples).mean()
        after = _robust(both, both.samples).mean()
        if before == after:
            more, _ = _CHECKS[suffix]
            same.setdefault((probe.model, more), []).append(name)
        else:
            yield _gain(attack, suffix, before, after)
        missed = _robust(attack, both.samples).mean() - after
        if alone and missed > _MARGIN:
            yield (
                ALARM,
                f"{name} on {probe.model} misses {missed:.0%} of the samples, "
                "which it finds at the threshold alone: its epsilons are too "
                "far apart there. Attack with the same thresholds.",
            )
    for (model, more), names in same.items():
        yield (
            NOTE,
            f"{', '.join(names)} on {model} {more}: robust accuracy does not "
            "change.",
        )


def _gain(attack, suffix, before, after):
    more, sign = _CHECKS[suffix]
    strong = before - after > _MARGIN
    return (
        ALARM if strong else NOTE,
        f"{attack.attack} on {attack.model} {more}: robust accuracy "
        f"{before:.0%} becomes {after:.0%}{f', {sign}' if strong else ''}.",
    )


def _by_threshold(records, limits) -> tuple[pa.Table, pa.Table]:
    """Records, and apart from them those of attacks at another threshold."""
    epsilon = pc.field(results.AT_THRESHOLD.name)
    own = epsilon.is_null()  # or where a file does not say it
    for norm, limit in limits.items():
        own |= (pc.field("norm") == norm) & (epsilon == limit)
    return records.filter(own), records.filter(~own)


def _other_thresholds(records, limits):
    """Attacks were not told of the threshold that is reported."""
    keys = ["model", "norm", results.AT_THRESHOLD.name]
    found = records.group_by(keys, use_threads=False).aggregate([])
    for row in found.to_pylist():
        model, norm, epsilon = (row[key] for key in keys)
        yield (
            ALARM,
            f"{norm} attacks on {model} were tried at a threshold of "
            f"{epsilon:.3g}, and this report is of {limits[norm]:.3g}: report "
            f"with --thresholds={norm}:{epsilon!r}, or attack with "
            f"--thresholds={norm}:{limits[norm]!r}.",
        )


def _reach(records) -> dict[tuple[str, str], float]:
    """The largest epsilon of a model and a norm, if all attacks have one."""
    epsilon = results.LARGEST_EPSILON.name
    own = records.filter(pc.field("preset") != results.PROBE)
    found = own.group_by(["model", "norm"], use_threads=False).aggregate(
        [
            (epsilon, "max"),
            (epsilon, "count", pc.CountOptions(mode="only_null")),
        ]
    )
    return {
        (row["model"], row["norm"]): row[f"{epsilon}_max"]
        for row in found.to_pylist()
        if not row[f"{epsilon}_count"]
    }


def _survivors(model, norm, members, epsilon, limit):
    """Far enough from its images no model is robust."""
    overall = statistics.closest(members)
    if not len(overall.samples):
        return
    left = np.isinf(overall.distances).mean()
    where = "at any distance" if np.isinf(epsilon) else f"within {epsilon:.3g}"
    survive = (
        f"{left:.0%} of the samples of {model} survive every {norm} attack "
        f"{where}"
    )
    if left and epsilon <= limit:
        yield (
            NOTE,
            f"{survive}, the largest epsilon that was tried: what is farther "
            "away is not known, nor is a median there.",
        )
    elif left:
        yield (
            ALARM,
            f"{survive}: attacks are missing, or gradients are masked.",
        )


def _seeing(records) -> set[tuple[str, str]]:
    """Models and the attacks that asked for their gradients."""
    passes = records.group_by(["model", "attack"], use_threads=False)
    return {
        (row["model"], row["attack"])
        for row in passes.aggregate([("backwards", "max")]).to_pylist()
        if row["backwards_max"] > 0
    }


def _blind_attacks(model, norm, members, seeing_pairs):
    """Decisions and scores alone should not say more than gradients."""
    sees = [(model, cell.attack) in seeing_pairs for cell in members]
    seeing = [cell for cell, does in zip(members, sees, strict=True) if does]
    blind = [cell for cell, does in zip(members, sees, strict=True) if not does]
    if not (seeing and blind):
        return
    best = statistics.closest(seeing)
    best_blind = statistics.closest(blind)
    common = np.intersect1d(best.samples, best_blind.samples)
    if not len(common):
        return
    lost = (_robust(best, common) & ~_robust(best_blind, common)).mean()
    if lost > _MARGIN:
        yield (
            ALARM,
            f"{lost:.0%} of the samples of {model} survive the {norm} attacks "
            "that use gradients and fall to those that do not: gradients are "
            "masked.",
        )


def _robust(cell: statistics.Cell, samples: np.ndarray) -> np.ndarray:
    """Which of some samples an attack leaves."""
    return statistics.robust(cell)[np.isin(cell.samples, samples)]
