r"""Prints tables in Markdown, from records and from the cards of models.

    python -m dim_tf.report
    python -m dim_tf.report --recipes=results/recipes
    python -m dim_tf.report --results=results/local

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
    allow_missing: bool = config.setting(
        False, "Print minima over attacks or samples that are not all there."
    )

    def __post_init__(self):
        config.validate(self)


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"report takes flags only, got {argv[0]!r}")
    settings = config.from_flags(ReportConfig)
    if settings.results:
        records = results.read(pathlib.Path(settings.results), _COLUMNS)
        rows = tables.results_table(records, settings.allow_missing)
    elif settings.recipes:
        rows = cards.recipes_table(pathlib.Path(settings.recipes))
    else:
        rows = cards.models_table(pathlib.Path(settings.saved_models))
    print(cards.to_markdown(rows))


if __name__ == "__main__":
    config.define_flags(ReportConfig)
    entry.run(main)
