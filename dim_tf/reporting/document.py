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
    {{ of_attacks_in(records("folder")).accuracy("all_l2", "dim") }}
                                    the same of the attacks alone that others
                                    have, too
    {{ with_runs_of(records("folder")).accuracy("all_l2", "dim") }}
                                    the same where those of others count, too,
                                    as attacks of their own

so that numbers need not be written by hand. With `--allow_missing`, `-` stands
for what is of no sample: a minimum over attacks that have none in common. It
also stands for a gallery of records that keep no adversarials.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jinja2
import pyarrow as pa

from dim_tf.reporting import answers
from dim_tf.reporting import benchmarks
from dim_tf.reporting.drawing import Adversarials
from dim_tf.reporting.drawing import Drawing
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
    numbers = answers.Answers(records, compared or {}, allow_missing)
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
        "of_attacks_in": numbers.of_attacks_in,
        "with_runs_of": numbers.with_runs_of,
        "records": answers.of_folders,
        "raced": _raced,
        "curves": drawing.curves,
        "gallery": drawing.gallery,
    }
    try:
        return environment.from_string(template).render()
    except (jinja2.TemplateError, TypeError) as error:  # as of an argument
        raise ValueError(f"the template is wrong: {error}") from error


def _raced(folder: str, rival: str, attack: str, model: str) -> str:
    if rival not in ("foolbox", "native"):
        raise ValueError(f"races are of foolbox and native, got {rival!r}")
    rows = benchmarks.read_all(pathlib.Path(folder)).get(model, [])
    found = [row for row in rows if row["attack"] == attack]
    if len(found) != 1:
        raise ValueError(f"{folder} has no single race of {attack} on {model}")
    return percent(found[0][f"{rival}_robust_accuracy"])
