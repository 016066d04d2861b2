"""Markdown whose words are a template's and whose numbers are records'.

A template is Jinja's, and calls these:

    {{ summary("dim", "cnn") }}     the least of each norm, a row for each model
    {{ across_norms("dim") }}       the same, an adversarial counts in all norms
    {{ table("dim", "cnn") }}       the paper's rows, the paper's values beside
    {{ every_attack("dim") }}       the same with a row for every attack
    {{ departures(0.1) }}           accuracies that far from the paper's
    {{ departures(0.1, "folder") }} the same, and what is left refined
    {{ paired(("dim", "im")) }}     how often the first one holds longer; with
                                    within=True: alone at the threshold; with
                                    across=("l1",): in that norm, to whatever
                                    attack
    {{ closest() }}                 how often an attack is the closest of all
    {{ narrowing("dim") }}          the attacks that a minimum is made of
    {{ costs() }}                   passes and seconds of a sample
    {{ diagnostics() }}             signs of masked gradients, notes folded
    {{ curves("l2") }}              a picture: accuracy over epsilon
    {{ gallery("l2") }}             a picture: the closest adversarials
    {{ gallery("l2", "folder") }}   the same of other records
    {{ accuracy("all_l2", "dim") }}, {{ median("all_l2", "dim") }},
    {{ interval("all_l2", "dim") }}, {{ samples("dim") }},
    {{ paper("all_l2_accuracy", "dim") }}
                                    numbers for sentences
    {{ records("folder").accuracy("l2_bim", "dim") }}
                                    the same of other records, or of those of
                                    several folders together
    {{ raced("folder", "foolbox", "l2_bim", "dim") }}
                                    the accuracy that foolbox's attack, or
                                    "native", leaves in rows of a benchmark
    {{ on_samples_of("abs").summary("dim") }}
                                    the same of the samples of one model alone,
                                    where others have more
    {{ on_samples_of("abs", records("folder")).accuracy("l2_bim", "abs") }}
                                    the same of those that it has in others

so that numbers need not be written by hand. With `--allow_missing`, `-` stands
for what is of no sample: a minimum over attacks that have none in common. It
also stands for a gallery of records that keep no adversarials.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.reporting import benchmarks
from dim_tf.reporting import comparisons
from dim_tf.reporting import costs
from dim_tf.reporting import diagnostics
from dim_tf.reporting import formats
from dim_tf.reporting import paper
from dim_tf.reporting import signs
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.drawing import Adversarials
from dim_tf.reporting.drawing import Drawing
from dim_tf.reporting.formats import Rows
from dim_tf.reporting.formats import to_markdown
from dim_tf.reporting.lookup import Lookup
from dim_tf.reporting.lookup import percent


def fill(
    template: str,
    records: pa.Table,
    adversarials: Adversarials,
    pictures: pathlib.Path,
    *,
    compared: Mapping[str, list[dict[str, Any]]] | None = None,
    allow_missing: bool = False,
) -> str:
    """Fills a template, and draws the pictures that it shows.

    Args:
        template: Markdown with Jinja's expressions.
        records: of `evaluation.results`, without adversarials.
        adversarials: `results.adversarials` of their folder.
        pictures: folder for the pictures, beside the filled template.
        compared: as `comparisons.departures_table`; None: nothing.
        allow_missing: as `tables.results_table`.

    Raises:
        ValueError: a name in the template is unknown, or as
            `tables.results_table`.
        FileNotFoundError: a folder named in the template has no records.
    """
    numbers = _Numbers(records, compared or {}, allow_missing)
    drawing = Drawing(records, numbers.cells, adversarials, pictures)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.globals |= {
        "summary": numbers.summary,
        "across_norms": numbers.across_norms,
        "table": numbers.table,
        "every_attack": numbers.every_attack,
        "departures": numbers.departures,
        "paired": numbers.paired,
        "closest": numbers.closest,
        "narrowing": numbers.narrowing,
        "costs": numbers.costs,
        "diagnostics": numbers.diagnostics,
        "accuracy": numbers.accuracy,
        "interval": numbers.interval,
        "median": numbers.median,
        "paper": numbers.paper,
        "samples": numbers.samples,
        "on_samples_of": numbers.on_samples_of,
        "records": _other_numbers,
        "raced": _raced,
        "curves": drawing.curves,
        "gallery": drawing.gallery,
    }
    try:
        return environment.from_string(template).render()
    except (jinja2.TemplateError, TypeError) as error:  # as of an argument
        raise ValueError(f"the template is wrong: {error}") from error


class _Numbers(Lookup):
    """What a template may ask of records."""

    def __init__(
        self,
        records: pa.Table,
        compared: Mapping[str, list[dict[str, Any]]],
        allow_missing: bool,
    ):
        super().__init__(records)
        self._records = records
        self._compared = compared
        self._allow_missing = allow_missing
        if not allow_missing:
            tables.check(self.cells, tables.norms_of_paper(records))

    def on_samples_of(
        self, model: str, others: "_Numbers | None" = None
    ) -> "_Numbers":
        """The numbers on the samples of a model alone, here or in others."""
        others = others or self
        others.require(model)
        own = others._records.filter(pc.field("model") == model)["sample"]
        there = self._records.filter(pc.field("sample").isin(own.unique()))
        return _Numbers(there, self._compared, self._allow_missing)

    def every_attack(self, *models: str) -> str:
        return to_markdown(self._rows(models))

    def summary(self, *models: str) -> str:
        titles = tables.TITLES
        rows: Rows = [("", *titles.values(), "least")]
        for model in models:
            minima = [f"all_{norm}" for norm in titles]
            texts = [self._least(row, model) for row in minima]
            known = self._known(("minimal_accuracy",), minima, model)
            least = self.accuracy("minimal_accuracy", model) + known
            rows.append((f"`{model}`", *texts, least))
        return to_markdown(rows)

    def across_norms(self, *models: str) -> str:
        titles = tables.TITLES
        rows: Rows = [("", *titles.values())]
        for model in models:
            texts = [
                f"{self.accuracy(row, model)}, {self.median(row, model)}"
                for row in (f"any_{norm}" for norm in titles)
            ]
            rows.append((f"`{model}`", *texts))
        return to_markdown(rows)

    def _least(self, row: str, model: str) -> str:
        reported = f"{row}_accuracy", f"{row}_median"
        known = self._known(reported, [row], model)
        return f"{self.accuracy(row, model)}, {self.median(row, model)}{known}"

    def _known(
        self, rows: tuple[str, ...], minima: list[str], model: str
    ) -> str:
        """What the paper has of some rows on minima, in brackets."""
        cells = [self.cell(minimum, model) for minimum in minima]
        there = [
            row
            for row in rows
            if all(
                cell
                and paper.is_whole(cell)
                and paper.value(cell, row) is not None
                for cell in cells
            )
        ]
        values = ", ".join(self.paper(row, model) for row in there)
        return f" ({values})" if values else ""

    def table(self, *models: str) -> str:
        header, *body = self._rows(models)
        attacks = {cell.attack for cell in self.cells}
        known = {row for row, _ in paper.values()}
        kept = [
            row for row in body if formats.plain(row)[0] not in attacks - known
        ]
        return to_markdown([header, *kept])

    def _rows(self, models: tuple[str, ...]) -> Rows:
        self.require(*models)
        wanted = pc.field("model").isin(models)
        rows = tables.results_table(
            self._records.filter(wanted), self._allow_missing
        )
        # The paper's value below ours.
        rows = [
            tuple(cell.replace(", paper ", "<br>paper ") for cell in row)
            for row in rows
        ]
        order = [0, *(1 + rows[0][1:].index(f"`{name}`") for name in models)]
        return [tuple(row[place] for place in order) for row in rows]

    def departures(self, margin: float, refined: str = "") -> str:
        after = statistics.cells(_read(refined)) if refined else []
        return to_markdown(
            comparisons.departures_table(
                self.cells, margin, self._compared, after
            )
        )

    def paired(
        self,
        *pairs: tuple[str, str],
        within: bool = False,
        across: tuple[str, ...] = (),
    ) -> str:
        self.require(*sum(pairs, ()))
        for norm in across:
            tables.check_norm(norm)
        cells = self.cells
        if across:
            found = statistics.closest_across_norms(self._records)
            cells = [cell for cell in found if cell.norm in across]
        rows = comparisons.paired_table(cells, pairs, within=within)
        return to_markdown(rows)

    def closest(self) -> str:
        return to_markdown(comparisons.closest_table(self.cells))

    def narrowing(self, *models: str) -> str:
        self.require(*models)
        own = [cell for cell in self.cells if cell.model in models]
        return to_markdown(comparisons.narrowing_table(own))

    def costs(self) -> str:
        return to_markdown(costs.costs_table(self._records))

    def diagnostics(self) -> str:
        found = diagnostics.diagnostics(self._records)
        alarms, notes = (
            [f"- {of}: {sentence}" for of, sentence in found if of == level]
            for level in (signs.ALARM, signs.NOTE)
        )
        folded = f"<details><summary>{len(notes)} notes</summary>"
        return "\n".join([*alarms, "", folded, "", *notes, "", "</details>"])


def _other_numbers(folder: str, *more: str) -> _Numbers:
    """Numbers of the records in folders, whatever attacks they are of."""
    folders = [folder, *more]
    refined = {
        made_with.get("refinement")
        for each in folders
        for files in results.made_with(pathlib.Path(each)).values()
        for made_with in files
    }
    if len(refined) > 1:
        raise ValueError(
            f"{' and '.join(folders)}: some of these records are refined, and "
            "some not; name the folders apart"
        )
    records = pa.concat_tables(map(_read, folders))
    return _Numbers(records, {}, allow_missing=True)


def _raced(folder: str, rival: str, attack: str, model: str) -> str:
    if rival not in ("foolbox", "native"):
        raise ValueError(f"races are of foolbox and native, got {rival!r}")
    rows = benchmarks.read_all(pathlib.Path(folder)).get(model, [])
    found = [row for row in rows if row["attack"] == attack]
    if len(found) != 1:
        raise ValueError(f"{folder} has no single race of {attack} on {model}")
    return percent(found[0][f"{rival}_robust_accuracy"])


def _read(folder: str) -> pa.Table:
    return results.read(pathlib.Path(folder), results.WITHOUT_IMAGES)
