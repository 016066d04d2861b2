"""Signs that a robust accuracy is not what it seems, in words."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.reporting import statistics

ALARM, NOTE = "alarm", "note"
# Attacks that see gradients, and those that see no more than decisions.
_GRADIENT_WORDS = (
    *("pgd", "bim", "fgm", "fgsm", "ddn", "deepfool", "carlini_wagner"),
    *("brendel_bethge", "ead", "sparse_descent", "fmn", "descent"),
)
# Of the samples by which blind attacks may do better by chance.
_MARGIN = 0.05


def diagnostics(records: pa.Table) -> list[tuple[str, str]]:
    """What to know before believing a table of records.

    Args:
        records: of `evaluation.results`.

    Returns:
        Pairs of `"alarm"` or `"note"` and a sentence.
    """
    found = [*_failures(records), *_gradients(records), *_gains(records)]
    cells = statistics.cells(records)
    groups: dict[tuple[str, str], list[statistics.Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.model, cell.norm), []).append(cell)
    for (model, norm), members in groups.items():
        found += _survivors(model, norm, members)
        found += _blind_attacks(model, norm, members)
    return sorted(found, key=lambda pair: pair[0])  # alarms first


def _failures(records):
    words = {
        "error": (ALARM, "broke"),
        "no_start": (NOTE, "found no starting point"),
    }
    for status, (level, verb) in words.items():
        rows = records.filter(pc.field("status") == status)
        places = rows.group_by(["model", "attack"], use_threads=False)
        for row in places.aggregate([([], "count_all")]).to_pylist():
            yield (
                level,
                f"{row['attack']} {verb} on {row['count_all']} samples of "
                f"{row['model']}; they count as failures of the attack.",
            )


def _gradients(records):
    """A gradient of zero leads nowhere, and is no robustness."""
    by_model: dict[str, list[float]] = {}
    # Every attack records the same ones.
    samples = records.group_by(["model", "sample"], use_threads=False)
    for row in samples.aggregate([("gradient", "max")]).to_pylist():
        by_model.setdefault(row["model"], []).append(row["gradient_max"])
    for model, found in by_model.items():
        sizes = np.array(found, float)
        for lost, word in (
            (sizes == 0, "zero"),
            (np.isnan(sizes), "not finite"),
        ):
            yield (
                ALARM if lost.any() else NOTE,
                f"Gradients of {model} are {word} at {lost.mean():.0%} of the "
                "clean images.",
            )


def _gains(records):
    """More work, and smaller epsilons as well, should gain next to nothing."""
    words = {
        results.TWICE_THE_STEPS: ("twice the steps", "it has not converged"),
        results.ANOTHER_START: ("another start", "it has not converged"),
        results.THRESHOLD_ALONE: (
            "smaller epsilons than the threshold",
            "success is not monotone in epsilon",
        ),
    }
    attacks = {(c.model, c.attack): c for c in statistics.cells(records)}
    for probe in statistics.probes(records):
        suffix = next(s for s in words if probe.attack.endswith(s))
        name = probe.attack.removesuffix(suffix)
        if (probe.model, name) not in attacks:
            continue
        attack = attacks[probe.model, name]
        both = statistics.closest([attack, probe], name)
        # The threshold alone is the lesser work of the two.
        lesser = probe if suffix == results.THRESHOLD_ALONE else attack
        before = _robust(lesser, both.samples).mean()
        after = _robust(both, both.samples).mean()
        more, sign = words[suffix]
        strong = before - after > _MARGIN
        yield (
            ALARM if strong else NOTE,
            f"{name} on {probe.model} with {more}: robust accuracy "
            f"{before:.0%} becomes {after:.0%}"
            + (f", {sign}." if strong else "."),
        )


def _survivors(model, norm, members):
    """At an unbounded epsilon no model is robust."""
    overall = statistics.closest(members, "all")
    left = np.isinf(overall.distances).mean()
    if left:
        yield (
            ALARM,
            f"{left:.0%} of the samples of {model} survive every {norm} attack "
            "at any distance: attacks are missing, or gradients are masked.",
        )


def _blind_attacks(model, norm, members):
    """Decisions alone should not say more than gradients."""

    def sees(cell):
        return cell.attack.partition("_")[2].startswith(_GRADIENT_WORDS)

    seeing = [cell for cell in members if sees(cell)]
    blind = [cell for cell in members if not sees(cell)]
    if not (seeing and blind):
        return
    best = statistics.closest(seeing, "gradients")
    best_blind = statistics.closest(blind, "decisions")
    common = np.intersect1d(best.samples, best_blind.samples)
    lost = (_robust(best, common) & ~_robust(best_blind, common)).mean()
    if lost > _MARGIN:
        yield (
            ALARM,
            f"{lost:.0%} of the samples of {model} survive the {norm} attacks "
            "that use gradients and fall to those that do not: gradients are "
            "masked.",
        )


def _robust(cell: statistics.Cell, samples: np.ndarray) -> np.ndarray:
    """Which samples an attack leaves at the norm's threshold."""
    limit = statistics.THRESHOLDS[cell.norm] * (1 + statistics.TOLERANCE)
    return cell.distances[np.isin(cell.samples, samples)] > limit
