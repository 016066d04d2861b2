"""What more work gains, of the attacks that probes repeat."""

from collections.abc import Iterator
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.reporting import signs
from dim_tf.reporting import statistics

# By the end of a probe's name: what it does, and what a gain is a sign of.
_CHECKS = {
    results.TWICE_THE_STEPS: ("with twice the steps", "it has not converged"),
    results.ANOTHER_START: (
        "and once more from another start",
        "one start is not enough",
    ),
    results.THRESHOLD_ALONE: (
        "with smaller epsilons than the threshold",
        "success is not monotone in epsilon",
    ),
}


def gains(
    records: pa.Table,
    cells: list[statistics.Cell],
    limits: Mapping[str, float],
) -> Iterator[tuple[str, str]]:
    """Signs that attacks have not converged, or missed the threshold.

    Args:
        records: of `evaluation.results`, with the probes.
        cells: of the attacks.
        limits: thresholds by norm.

    Yields:
        Pairs as of `diagnostics.diagnostics`.
    """
    comparable, other = _by_threshold(records, limits)
    yield from _gains(cells, statistics.probes(comparable, limits))
    yield from _other_thresholds(other, limits)


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
        before = signs.robust_on(
            probe if alone else attack, both.samples
        ).mean()
        after = signs.robust_on(both, both.samples).mean()
        if before == after:
            more, _ = _CHECKS[suffix]
            same.setdefault((probe.model, more), []).append(name)
        else:
            yield _gain(attack, suffix, before, after)
        missed = signs.robust_on(attack, both.samples).mean() - after
        if alone and missed > signs.MARGIN:
            yield (
                signs.ALARM,
                f"{name} on {probe.model} misses {signs.percent(missed)} of "
                "the samples, which it finds at the threshold alone: its "
                "epsilons are too far apart there. Attack with the same "
                "thresholds.",
            )
    for (model, more), names in same.items():
        yield (
            signs.NOTE,
            f"{', '.join(names)} on {model} {more}: robust accuracy does not "
            "change.",
        )


def _gain(attack, suffix, before, after):
    more, sign = _CHECKS[suffix]
    strong = before - after > signs.MARGIN
    return (
        signs.ALARM if strong else signs.NOTE,
        f"{attack.attack} on {attack.model} {more}: robust accuracy "
        f"{signs.percent(before)} becomes {signs.percent(after)}"
        f"{f', {sign}' if strong else ''}.",
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
            signs.ALARM,
            f"{norm} attacks on {model} were tried at a threshold of "
            f"{epsilon:.3g}, and this report is of {limits[norm]:.3g}: report "
            f"with --thresholds={norm}:{epsilon!r}, or attack with "
            f"--thresholds={norm}:{limits[norm]!r}.",
        )
