"""Numbers and tables of records, as a template asks for them."""

import pathlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.reporting import comparisons
from dim_tf.reporting import costs
from dim_tf.reporting import diagnostics
from dim_tf.reporting import formats
from dim_tf.reporting import paper
from dim_tf.reporting import signs
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.formats import Rows
from dim_tf.reporting.formats import to_markdown
from dim_tf.reporting.lookup import Lookup


class Answers(Lookup):
    """What a template may ask of records, see `document`.

    Args:
        records: of `evaluation.results`, without adversarials.
        compared: as `comparisons.departures_table`.
        allow_missing: as `tables.results_table`.
    """

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
        self, model: str, others: "Answers | None" = None
    ) -> "Answers":
        """The numbers on the samples of a model alone, here or in others."""
        others = others or self
        others.require(model)
        own = others._records.filter(pc.field("model") == model)["sample"]
        there = self._records.filter(pc.field("sample").isin(own.unique()))
        return Answers(there, self._compared, self._allow_missing)

    def of_attacks_in(self, others: "Answers") -> "Answers":
        """The numbers of the attacks alone that others have, too."""
        names = others._records["attack"].unique()
        own = self._records.filter(pc.field("attack").isin(names))
        return Answers(own, self._compared, allow_missing=True)

    def with_runs_of(self, others: "Answers") -> "Answers":
        """The numbers where attacks of others count, too, as other ones."""
        place = others._records.schema.get_field_index("attack")
        renamed = others._records.set_column(
            place,
            "attack",
            pc.binary_join_element_wise(
                "other", others._records["attack"], "_"
            ),
        )
        both = pa.concat_tables([self._records, renamed])
        return Answers(both, self._compared, allow_missing=True)

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


def of_folders(folder: str, *more: str) -> Answers:
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
    return Answers(records, {}, allow_missing=True)


def _read(folder: str) -> pa.Table:
    return results.read(pathlib.Path(folder), results.WITHOUT_IMAGES)
