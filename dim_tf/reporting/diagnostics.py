"""Signs that a robust accuracy is not what it seems, in words."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds
from dim_tf.reporting import gains
from dim_tf.reporting import signs
from dim_tf.reporting import statistics
from dim_tf.reporting import tables

# Along smaller gradients Carlini-Wagner, EAD, DeepFool and NewtonFool, which do
# not scale them to a step whatever their size, fall short.
_LEAST_GRADIENT = 1e-8


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
    found = [
        *_misread(cells),
        *_unlike(cells),
        *_failures(records),
        *_gradients(records),
        *gains.gains(records, cells, limits),
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
        found.append((signs.NOTE, sentence))
    return sorted(found, key=lambda pair: pair[0])  # alarms first


def _misread(cells):
    """Nobody attacks a model that is wrong more often than right."""
    for model, clean in statistics.clean_accuracy(cells).items():
        if clean.value < 0.5:
            yield (
                signs.ALARM,
                f"{signs.percent(1 - clean.value)} of the samples of {model} "
                "are misclassified without an attack: look whether the labels, "
                "the order of its classes and its bounds are what is meant.",
            )


def _unlike(cells):
    """What is of different images is not to be taken together."""
    datasets = {cell.model: cell.dataset for cell in cells if cell.dataset}
    if len(set(datasets.values())) > 1:
        listed = ", ".join(f"{of} on {name}" for of, name in datasets.items())
        yield (
            signs.ALARM,
            "The models were attacked on different images, so that their "
            f"numbers are not to be compared: {listed}.",
        )
    for model, words in tables.mixed(tables.minima(cells)).items():
        yield signs.NOTE, f"The minimal accuracy of {model} is over {words}."


def _failures(records):
    words = {
        "error": (
            signs.ALARM,
            "broke",
            " ({message_max}). Without its files, in {model}/{attack}, they "
            "are attacked again.",
        ),
        "no_start": (signs.NOTE, "found no starting point", "."),
    }
    for status, (level, verb, more) in words.items():
        rows = records.filter(pc.field("status") == status)
        places = rows.group_by(["model", "attack"], use_threads=False)
        wanted = [([], "count_all"), ("message", "max")]
        for row in places.aggregate(wanted).to_pylist():
            yield (
                level,
                f"{row['attack']} {verb} on {row['count_all']} samples of "
                f"{row['model']}; they count as failures of the attack"
                f"{more.format(**row)}",
            )


def _gradients(records):
    """A gradient of zero leads nowhere, and is no robustness.

    Nor is one so small that some attacks do not scale it to a step.
    """
    by_model: dict[str, list[float]] = {}
    why = _why_no_gradient(records)
    # Every attack records them; older records have the cross-entropy's, which
    # are no larger.
    samples = records.group_by(["model", "sample"], use_threads=False)
    for row in samples.aggregate([("gradient", "max")]).to_pylist():
        by_model.setdefault(row["model"], []).append(row["gradient_max"])
    for model, found in by_model.items():
        sizes = np.array(found, float)
        for lost, word, more in (
            (sizes < _LEAST_GRADIENT, "zero or next to it", ""),
            (np.isnan(sizes), "not finite", why.get(model, "")),
        ):
            if lost.any():
                yield (
                    signs.ALARM,
                    f"Gradients of {model} are {word} at {lost.sum():,} of "
                    f"{len(sizes):,} clean images{more}.",
                )
        if (sizes >= _LEAST_GRADIENT).all():
            yield (
                signs.NOTE,
                f"Gradients of {model} are finite and not zero at all of "
                f"{len(sizes):,} clean images.",
            )


def _why_no_gradient(records) -> dict[str, str]:
    """By model, what broke where its gradients were looked at, if it did.

    What an attack broke by has the status `error`.
    """
    broken = records.filter(
        pc.field("gradient").is_nan()
        & (pc.field("message") != "")
        & (pc.field("status") != "error")
    )
    found = broken.group_by("model").aggregate([("message", "max")])
    return {
        row["model"]: f" ({row['message_max']})" for row in found.to_pylist()
    }


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
        f"{signs.percent(left)} of the samples of {model} survive every {norm} "
        f"attack {where}"
    )
    if left and epsilon <= limit:
        yield (
            signs.NOTE,
            f"{survive}, the largest epsilon that was tried: what is farther "
            "away is not known, nor is a median there.",
        )
    elif left:
        yield (
            signs.ALARM,
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
    lost = (
        signs.robust_on(best, common) & ~signs.robust_on(best_blind, common)
    ).mean()
    if lost > signs.MARGIN:
        yield (
            signs.ALARM,
            f"{signs.percent(lost)} of the samples of {model} survive the "
            f"{norm} attacks that use gradients and fall to those that do not: "
            "gradients are masked, or those attacks are weak.",
        )
