"""Attacks beside each other, beside the paper's and beside foolbox's."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np

from dim_tf.evaluation import thresholds
from dim_tf.reporting import paper
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.formats import Rows
from dim_tf.reporting.statistics import Cell
from dim_tf.reporting.statistics import Estimate


def departures_table(
    cells: list[Cell],
    margin: float,
    compared: Mapping[str, list[dict[str, Any]]],
    refined: Iterable[Cell] = (),
) -> Rows:
    """Accuracies that are far from the paper's, below a header row.

    Args:
        cells: of `statistics.cells`.
        margin: how far at least, from 0 to 1.
        compared: rows of `dim_tf.benchmark` by model, which tell whether
            foolbox's own attack finds the same on our weights.
        refined: some of the attacks, refined for models that binarize; a
            minimum is compared to that of those of its norm.

    Returns:
        Rows of cells; the difference is in points. What is known about it is
        what foolbox finds beside us and what is left once refined, that the
        paper's is within our interval, that other attacks of the paper find as
        much, or the attack that a minimum is mostly of.
    """
    of_refined = list(refined)
    after = {
        (cell.model, cell.attack): cell
        for cell in (*of_refined, *tables.minima(of_refined))
    }
    rows: Rows = [("model", "attack", "ours", "paper", "difference", "checked")]
    for norm in tables.TITLES:
        own = [cell for cell in cells if cell.norm == norm]
        for cell in (*own, *statistics.closest_by_model(own, norm)):
            known = paper.accuracy(cell)
            ours = statistics.robust_accuracy(cell)
            if known is None or abs(ours.value - known) <= margin + 1e-9:
                continue
            left = _refined(after.get((cell.model, cell.attack)))
            why = _side_by_side(_race(compared.get(cell.model, ()), cell))
            if not why and (cell.parts or not left):
                parts = [each for each in own if each.model == cell.model]
                why = (
                    _within(ours, known)
                    or _elsewhere(ours, cell)
                    or _strongest(parts, cell)
                )
            rows.append(
                (
                    *(f"`{cell.model}`", f"`{cell.attack}`"),
                    *(tables.with_interval(ours), f"{known:.0%}"),
                    f"{100 * (ours.value - known):+.0f}",
                    "; ".join(filter(None, (why, left))),
                )
            )
    return rows


def _race(rows: Iterable[dict[str, Any]], cell: Cell) -> dict[str, Any] | None:
    """That of the cell's attack whose number of images is closest to its own.

    Races take the first images of all, sweeps the first ones of each class:
    with their number they have more in common.
    """
    return min(
        (row for row in rows if row["attack"] == cell.attack),
        key=lambda row: abs(row["batch_size"] - len(cell.samples)),
        default=None,
    )


def _side_by_side(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    texts = []
    for side, whose in (("native", "ours"), ("foolbox", "foolbox's")):
        text = f"{whose} {row[f'{side}_robust_accuracy']:.0%}"
        draws = [accuracy for accuracy, _ in row.get(f"{side}_spread", ())]
        if draws:
            spread = f"{min(draws):.0%} to {max(draws):.0%}"
            text += f" ({spread} over {len(draws)} draws)"
        texts.append(text)
    return ", ".join(texts)


def _refined(cell: Cell | None) -> str:
    return f"refined {_left([cell]):.0%}" if cell else ""


def _elsewhere(ours: Estimate, cell: Cell) -> str:
    """What the paper's other attacks of the norm leave, where it is like ours.

    Then the attack is no worse than they are here, and was there.
    """
    least = paper.value(cell, f"all_{cell.norm}_accuracy")
    if cell.parts or least is None:
        return ""
    alike = _within(ours, least)
    return f"the paper's other attacks leave {least:.0%}" if alike else ""


def _within(ours: Estimate, known: float) -> str:
    return "within the interval" if ours.low <= known <= ours.high else ""


def _strongest(parts: list[Cell], least: Cell) -> str:
    """The attack that leaves the fewest of those that a minimum is over."""
    if least.attack in {part.attack for part in parts}:
        return "-"
    best = min(parts, key=lambda part: _left([part]))
    return f"`{best.attack}` alone {_left([best]):.0%}"


def paired_table(
    cells: list[Cell], pairs: Iterable[tuple[str, str]], *, within: bool = False
) -> Rows:
    """Which of two models holds longer, image by image, below a header row.

    Args:
        cells: of `statistics.cells`.
        pairs: names of models.
        within: as `statistics.larger`.

    Returns:
        Rows of cells, a row for each pair and a column for each norm that is
        there: the share of images on which the first model's distance under all
        attacks is the larger one, of those that it is not the same on; `-`
        where there are none.
    """
    norms = [
        norm
        for norm in tables.TITLES
        if any(norm == cell.norm for cell in cells)
    ]
    rows: Rows = [("", *(tables.TITLES[norm] for norm in norms))]
    by_norm = [
        {cell.model: cell for cell in statistics.closest_by_model(cells, norm)}
        for norm in norms
    ]
    for first, second in pairs:
        shares = (
            statistics.larger(least[first], least[second], within=within)
            if {first, second} <= least.keys()
            else None
            for least in by_norm
        )
        texts = (tables.with_interval(each) if each else "-" for each in shares)
        rows.append((f"`{first}` over `{second}`", *texts))
    return rows


def closest_table(cells: list[Cell]) -> Rows:
    """How often an attack is the closest of its norm, below a header row.

    Args:
        cells: of `statistics.cells`.

    Returns:
        Rows of cells, a column for each model: the share of the samples that
        fall at all for which nothing of the norm comes closer; ties count for
        all. `-` where none falls, or none has all attacks.
    """
    models = list(dict.fromkeys(cell.model for cell in cells))
    rows: Rows = [("", *(f"`{model}`" for model in models))]
    for norm in tables.TITLES:
        own = [cell for cell in cells if cell.norm == norm]
        least = {
            cell.model: cell for cell in statistics.closest_by_model(own, norm)
        }
        for attack in dict.fromkeys(cell.attack for cell in own):
            shares = {
                cell.model: _share_closest(cell, least[cell.model])
                for cell in own
                if cell.attack == attack and cell.model in least
            }
            texts = (shares.get(model, "-") for model in models)
            rows.append((f"`{attack}`", *texts))
    return rows


def _share_closest(cell: Cell, least: Cell) -> str:
    distances = cell.distances[np.isin(cell.samples, least.samples)]
    fallen = (least.distances > 0) & np.isfinite(least.distances)
    if not fallen.any():
        return "-"
    limits = least.distances[fallen] * (1 + thresholds.TOLERANCE)
    return f"{(distances[fallen] <= limits).mean():.0%}"


def narrowing_table(cells: list[Cell]) -> Rows:
    """Which attacks the minima are made of, below a header row.

    Args:
        cells: of `statistics.cells`.

    Returns:
        Rows of cells, for every model and norm: the attack that leaves the
        lowest accuracy, and one after the other the
        attack that takes most of what the ones above leave, with what is left.
        The last one's accuracy is that of all, and has the paper's beside it.
        None where no sample has all attacks.
    """
    rows: Rows = [("model", "norm", "attacks", "accuracy", "median", "paper")]
    for model in dict.fromkeys(cell.model for cell in cells):
        for norm, title in tables.TITLES.items():
            own = [
                cell
                for cell in cells
                if (cell.model, cell.norm) == (model, norm)
            ]
            for taken in _narrowing(own):
                together = statistics.closest(taken)
                accuracy = statistics.robust_accuracy(together)
                median = statistics.median_distance(together).value
                last = _left(taken) == _left(own)
                rows.append(
                    (
                        *(f"`{model}`", title),
                        f"{'and ' * (len(taken) > 1)}`{taken[-1].attack}`",
                        *(tables.with_interval(accuracy), f"{median:.2g}"),
                        _paper_minimum(own) if last else "",
                    )
                )
    return rows


def _narrowing(cells: list[Cell]) -> Iterator[list[Cell]]:
    """The strongest cell, then with the one that adds most, and so on."""
    if not cells or not len(statistics.closest(cells).samples):
        return
    rest = list(cells)
    taken: list[Cell] = []
    while rest and (not taken or _left(taken) > _left(cells)):
        best = min(rest, key=lambda cell: _left([*taken, cell]))
        rest = [cell for cell in rest if cell is not best]
        taken = [*taken, best]
        yield taken


def _left(cells: list[Cell]) -> float:
    return statistics.robust_accuracy(statistics.closest(cells)).value


def _paper_minimum(cells: list[Cell]) -> str:
    together = statistics.closest(cells)
    accuracy = paper.accuracy(together)
    return "-" if accuracy is None else f"{accuracy:.0%}"
