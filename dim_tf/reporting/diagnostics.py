"""Signs that a robust accuracy is not what it seems, in words."""

import numpy as np
import pyarrow as pa

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
    found = [*_failures(records)]
    cells = statistics.cells(records)
    groups: dict[tuple[str, str], list[statistics.Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.model, cell.norm), []).append(cell)
    for (model, norm), members in groups.items():
        found += _survivors(model, norm, members)
        found += _blind_attacks(model, norm, members)
    return found or [(NOTE, "Nothing to report.")]


def _failures(records):
    statuses = np.array(records["status"].to_pylist())
    models = np.array(records["model"].to_pylist())
    attacks = np.array(records["attack"].to_pylist())
    words = {
        "error": (ALARM, "broke"),
        "no_start": (NOTE, "found no starting point"),
    }
    for status, (level, verb) in words.items():
        rows = np.flatnonzero(statuses == status)
        places = zip(models[rows], attacks[rows], strict=True)
        for model, attack in dict.fromkeys(places):
            own = (models[rows] == model) & (attacks[rows] == attack)
            yield (
                level,
                f"{attack} {verb} on {own.sum()} samples of {model}; they "
                "count as failures of the attack.",
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
    limit = statistics.THRESHOLDS[norm] * (1 + statistics.TOLERANCE)
    robust, robust_blind = (
        (c.distances[np.isin(c.samples, common)] > limit)
        for c in (best, best_blind)
    )
    lost = (robust & ~robust_blind).mean()
    if lost > _MARGIN:
        yield (
            ALARM,
            f"{lost:.0%} of the samples of {model} survive the {norm} attacks "
            "that use gradients and fall to those that do not: gradients are "
            "masked.",
        )
