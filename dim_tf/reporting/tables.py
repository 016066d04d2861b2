"""The paper's tables from records, with the paper's values beside ours."""

from collections.abc import Collection
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds
from dim_tf.reporting import paper
from dim_tf.reporting import statistics
from dim_tf.reporting.formats import Rows
from dim_tf.reporting.statistics import Cell
from dim_tf.reporting.statistics import Estimate

TITLES = {"l2": "L2", "linf": "Linf", "l0": "L0", "l1": "L1"}


def results_table(
    records: pa.Table,
    allow_missing: bool = False,
    limits: Mapping[str, float] = thresholds.PAPER,
) -> Rows:
    """Every attack and the minimum of each norm, one column per model.

    Args:
        records: of `evaluation.results`.
        allow_missing: whether a minimum may leave out attacks or samples that
            other cells have; it is marked with a `*` then. So is, in any case,
            a minimal accuracy over norms that have different samples.
        limits: thresholds by norm.

    Returns:
        Rows of cells below a header row. A cell has the accuracy at the norm's
        threshold or the median distance, its 95 % interval, and the paper's
        value where there is one; `-` where attacks or samples to have it of
        are not there.

    Raises:
        ValueError: a minimum would be over different attacks or samples for
            different models; says what is missing.
    """
    cells = statistics.cells(records, limits)
    models = list(dict.fromkeys(cell.model for cell in cells))
    whole = norms_of_paper(records)
    rows: Rows = [("", *(f"`{model}`" for model in models))]
    if not allow_missing:
        check(cells, whole)
    lacking = gaps(cells, whole)
    overall = minima(cells)
    marks = set()
    for norm, title in TITLES.items():
        own = [cell for cell in cells if cell.norm == norm]
        if not own:
            continue
        mark = " *" if norm in lacking else ""
        marks.add(mark)
        for attack in dict.fromkeys(cell.attack for cell in own):
            rows.append((f"`{attack}`", *_texts(own, models, attack)))
        name = f"all_{norm}"
        for kind, text in (("accuracy", _accuracy), ("median", _median)):
            texts = _texts(overall, models, name, text, mark)
            rows.append((f"**All {title}, {kind}**", *texts))
    rows.append(_minimal_accuracies(overall, models, max(marks, default="")))
    clean = statistics.clean_accuracy(cells)
    texts = [with_interval(clean[model]) for model in models]
    rows.append(("**Clean accuracy**", *texts))
    rows.append(("samples", *_sample_counts(cells, models)))
    rows.append(("preset", *_presets(records, models)))
    norms = dict.fromkeys(cell.norm for cell in cells)
    rows.append(("thresholds", *[thresholds_text(limits, norms)] * len(models)))
    return rows


def norms_of_paper(records: pa.Table) -> frozenset[str]:
    """Norms with attacks of the paper's suite: they are to have all of it."""
    own = records.filter(pc.field("preset") == "paper")
    return frozenset(own["norm"].unique().to_pylist())


def check_norm(norm: str) -> None:
    """Raises ValueError unless it is one that there are tables of."""
    if norm not in TITLES:
        raise ValueError(
            f"unknown norm {norm!r}, expected one of {', '.join(TITLES)}"
        )


def thresholds_text(
    limits: Mapping[str, float], norms: Collection[str] = tuple(TITLES)
) -> str:
    """Thresholds of norms in words, such as `L2 1.5, Linf 0.3`."""
    return ", ".join(
        f"{title} {limits[norm]:g}"
        for norm, title in TITLES.items()
        if norm in norms
    )


def _texts(cells, models, attack, text=None, mark="") -> list[str]:
    """A text for every model, `-` where it has no such cell."""
    own = {cell.model: cell for cell in cells if cell.attack == attack}
    text = text or _accuracy
    return [
        text(own[model]) + mark if model in own else "-" for model in models
    ]


def check(cells: list[Cell], whole: Collection[str] = ()) -> None:
    """Checks that all models have the same attacks, on samples of their own.

    Args:
        cells: of all models and norms.
        whole: norms that are to have all attacks of the paper.

    Raises:
        ValueError: they have not; says what is missing.
    """
    for norm, gap in gaps(cells, whole).items():
        raise ValueError(
            f"no minimum over the attacks in {TITLES[norm]}: {gap}. Finish the "
            "sweep, leave out attacks that are not for all models, or allow it "
            "with --allow_missing"
        )


def gaps(cells: list[Cell], whole: Collection[str] = ()) -> dict[str, str]:
    """Why minima are not whole, by norm, in words; arguments as `check`."""
    lacks = {norm: _lacks(cells, norm, whole) for norm in TITLES}
    return {
        norm: "; ".join(missing) for norm, missing in lacks.items() if missing
    }


def _lacks(cells: list[Cell], norm: str, whole: Collection[str]) -> list[str]:
    """What a minimum over the attacks of a norm lacks, in words."""
    there = {
        (cell.model, cell.attack): cell.samples
        for cell in cells
        if cell.norm == norm
    }
    models = dict.fromkeys(cell.model for cell in cells)
    names = dict.fromkeys(name for _, name in there)
    wanted = paper.attacks(norm) if norm in whole else []
    known = [name for name in wanted if name in names]
    found = [
        f"no {name} on {model}"
        for name in names
        for model in models
        if (model, name) not in there
    ]
    if len(known) < len(wanted):
        found.append(f"only {len(known)} of the paper's {len(wanted)} attacks")
    for model in models:
        samples = [each for (of, _), each in there.items() if of == model]
        sizes = sorted(map(len, samples))
        if len(set(sizes)) > 1:
            found.append(
                f"{model} has between {sizes[0]} and {sizes[-1]} samples"
            )
        elif not all(np.array_equal(samples[0], other) for other in samples):
            found.append(f"{model} has other samples from attack to attack")
    return found


def _accuracy(cell: Cell) -> str:
    text = with_interval(statistics.robust_accuracy(cell))
    return _beside(text, paper.accuracy(cell), ".0%")


def _median(cell: Cell) -> str:
    estimate = statistics.median_distance(cell)
    text = f"{estimate.value:.2g} [{estimate.low:.2g}, {estimate.high:.2g}]"
    return _beside(text, paper.median(cell), "g")


def with_interval(estimate: Estimate) -> str:
    """A share in whole percent."""
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"


def _beside(text: str, known: float | None, form: str) -> str:
    """A text, and the paper's number where there is one."""
    return text if known is None else f"{text}, paper {known:{form}}"


def _minimal_accuracies(overall: list[Cell], models, mark: str) -> tuple:
    """The least accuracy of the norms, which are named unless all are there."""
    norms = dict.fromkeys(cell.norm for cell in overall)
    title = "**Minimal accuracy**"
    if 0 < len(norms) < len(TITLES):
        title = (
            f"**Minimal accuracy, {', '.join(TITLES[norm] for norm in norms)}**"
        )
    different = mixed(overall)
    texts = []
    for model in models:
        own = [cell for cell in overall if cell.model == model]
        if not own:
            texts.append("-")
            continue
        least = statistics.robust_accuracy(weakest(own))
        known = paper.minimal_accuracy(own)
        text = _beside(with_interval(least), known, ".0%")
        texts.append(text + (" *" if model in different else mark))
    return title, *texts


def minima(cells: list[Cell]) -> list[Cell]:
    """All attacks of a norm as one, for every norm and model."""
    return [
        cell
        for norm in TITLES
        for cell in statistics.closest_by_model(cells, norm)
    ]


def mixed(of_norms: list[Cell]) -> dict[str, str]:
    """Models whose norms have different samples, by name, in words.

    Args:
        of_norms: as of `minima`.
    """
    found = {}
    for model in dict.fromkeys(cell.model for cell in of_norms):
        own = [cell for cell in of_norms if cell.model == model]
        first, *others = (cell.samples for cell in own)
        if not all(np.array_equal(first, other) for other in others):
            counts = ", ".join(
                f"{len(cell.samples)} in {TITLES[cell.norm]}" for cell in own
            )
            found[model] = f"different samples, {counts}"
    return found


def weakest(of_norms: list[Cell]) -> Cell:
    """The minimum of a norm that leaves a model the least accuracy."""
    return min(
        of_norms, key=lambda cell: statistics.robust_accuracy(cell).value
    )


def _sample_counts(cells: list[Cell], models) -> list[str]:
    counts = []
    for model in models:
        sizes = {len(cell.samples) for cell in cells if cell.model == model}
        counts.append(" to ".join(map(str, sorted(sizes))))
    return counts


def _presets(records: pa.Table, models) -> list[str]:
    """The presets that a model's attacks are from."""
    pairs = records.group_by(["model", "preset"], use_threads=False)
    found = [
        (row["model"], row["preset"])
        for row in pairs.aggregate([]).to_pylist()
        if row["preset"] != results.PROBE
    ]
    return [
        ", ".join(preset for of, preset in found if of == model)
        for model in models
    ]
