r"""Prints tables in Markdown, from records and from the cards of models.

    python -m dim_tf.report
    python -m dim_tf.report --recipes=results/recipes
    python -m dim_tf.report --results=results/local
    python -m dim_tf.report --results=results/local --output=report.html

Without flags and with `--recipes`, the robustness columns are the first look of
the training command: shares of validation images, upper bounds on robust
accuracy. With `--results`, they are what the attacks of `dim_tf.evaluate` left.
"""

import dataclasses
import pathlib

from dim_tf import config
from dim_tf import entry
from dim_tf.evaluation import results
from dim_tf.reporting import cards
from dim_tf.reporting import formats
from dim_tf.reporting import tables

# Written out, since dim_tf.models would import TensorFlow.
_SAVED_MODELS = pathlib.Path(__file__).resolve().parents[1] / "saved_models"

# All but the images.
_COLUMNS = [name for name in results.SCHEMA.names if name != "adversarial"]


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """What to report on."""

    saved_models: str = config.setting(
        str(_SAVED_MODELS), "Folder with a folder per trained model."
    )
    recipes: str = config.setting(
        "", "Folder with the cards of tried recipes; report on these instead."
    )
    results: str = config.setting(
        "", "Folder with records of attacks; report on these instead."
    )
    output: str = config.setting(
        "",
        "File to write: .md, .csv, .json, .tex, or with --results .html with "
        "curves, adversarials and costs; empty: print Markdown.",
    )
    allow_missing: bool = config.setting(
        False, "Print minima over attacks or samples that are not all there."
    )

    def __post_init__(self):
        config.validate(self)


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"report takes flags only, got {argv[0]!r}")
    settings = config.from_flags(ReportConfig)
    output = pathlib.Path(settings.output) if settings.output else None
    if output:
        more = (".html",) if settings.results else ()
        formats.check(output, (*formats.FORMATS, *more))
    rows = _rows(settings)
    if output is None:
        print(cards.to_markdown(rows))
    elif output.suffix == ".html":
        # Of what no other report needs: it draws.
        from dim_tf.reporting import html

        records = results.read(pathlib.Path(settings.results))
        output.write_text(html.page(records, rows, settings.results))
    else:
        output.write_text(formats.FORMATS[output.suffix](rows))


def _rows(settings: ReportConfig) -> cards.Rows:
    if settings.results:
        records = results.read(pathlib.Path(settings.results), _COLUMNS)
        return tables.results_table(records, settings.allow_missing)
    if settings.recipes:
        return cards.recipes_table(pathlib.Path(settings.recipes))
    return cards.models_table(pathlib.Path(settings.saved_models))


if __name__ == "__main__":
    config.define_flags(ReportConfig)
    entry.run(main)
