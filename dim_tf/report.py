r"""Prints tables in Markdown, from records and from the cards of models.

    python -m dim_tf.report
    python -m dim_tf.report --recipes=results/recipes
    python -m dim_tf.report --results=results/local
    python -m dim_tf.report --results=results/local --output=report.html
    python -m dim_tf.report --results=results/paper \
        --benchmark=results/benchmark \
        --template=docs/RESULTS.md.jinja --output=docs/RESULTS.md
    python -m dim_tf.report --latents=dim --output=latents.png
    python -m dim_tf.report --benchmark=results/benchmark/dim.json

Without flags and with `--recipes`, the robustness columns are the first look of
the training command: shares of validation images, upper bounds on robust
accuracy. With `--results`, they are what the attacks of `dim_tf.evaluate` left,
and signs of masked gradients come after the table; `--template` puts them into
words of your own, see `dim_tf.reporting.document`. `--latents` draws Figure 3
of the paper, on the HTML page or alone; only this needs TensorFlow.
`--benchmark` is the comparison of our attacks with foolbox's.
"""

import dataclasses
import functools
import pathlib

import numpy as np
import rich.console

from dim_tf import config
from dim_tf import entry
from dim_tf import staging
from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds
from dim_tf.reporting import benchmarks
from dim_tf.reporting import cards
from dim_tf.reporting import diagnostics
from dim_tf.reporting import formats
from dim_tf.reporting import numbers
from dim_tf.reporting import tables

# Written out, since dim_tf.models would import TensorFlow.
_SAVED_MODELS = pathlib.Path(__file__).resolve().parents[1] / "saved_models"
# Told to those who set one where it has no effect.
_PURPOSES = {
    "saved_models": "the table of models, without --results, --benchmark, "
    "--recipes and --latents",
    "recipes": "a table of its own, without --results, --benchmark and "
    "--latents",
    "results": "tables and pages, and a .png shows --latents alone",
    "benchmark": "a table of its own, without --results and --latents, or for "
    "a --template",
    "thresholds": "tables of --results, and the words of a --template are for "
    "the paper's",
    "latents": "an --output of .png, or of .html with --results",
    "latents_examples": "--latents, in an --output of .png or .html",
    "allow_missing": "--results",
}


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
    benchmark: str = config.setting(
        "",
        "JSON file of dim_tf.benchmark; report on this instead. With "
        "--template a folder of them, to explain departures from the paper.",
    )
    thresholds: str = config.setting(
        "",
        "Distances within which an adversarial counts, such as "
        "linf:0.03,l2:0.5; those that are not named: the paper's, for MNIST. "
        "To be given to dim_tf.evaluate as well, which tries them.",
    )
    output: str = config.setting(
        "",
        "File to write: .md, .csv, .json, .tex, or with --results .html with "
        "curves, adversarials and costs; empty: print Markdown.",
    )
    template: str = config.setting(
        "",
        "Markdown to fill with numbers from --results; pictures go to a folder "
        "beside the output, named like it.",
    )
    latents: str = config.setting(
        "", "Model whose latent spaces to draw, in a .html or a .png."
    )
    latents_examples: int = config.setting(
        1000, "Test images in that figure.", minimum=100
    )
    allow_missing: bool = config.setting(
        False,
        "Print minima, marked *, even if attacks or samples are missing.",
    )

    def __post_init__(self):
        config.validate(self)
        if self.template and not (self.results and self.output.endswith(".md")):
            raise ValueError(
                f"--template={self.template} is filled from --results into an "
                f"--output=....md, got --results={self.results!r} and "
                f"--output={self.output!r}"
            )
        for name, value in config.without_effect(self, self._used).items():
            raise ValueError(
                f"--{name}={value} has no effect: it is for {_PURPOSES[name]}"
            )

    @property
    def _used(self) -> set[str]:
        """Names of the settings that what is asked for depends on."""
        suffix = pathlib.Path(self.output).suffix
        latents = {"latents", "latents_examples"} if self.latents else set()
        if latents and suffix == ".png":
            used = latents
        elif self.template:
            used = {"template", "results", "benchmark", "allow_missing"}
        elif self.results:
            used = {"results", "thresholds", "allow_missing"}
            used |= latents if suffix == ".html" else set()
        elif self.benchmark:
            used = {"benchmark"}
        else:
            used = {"recipes" if self.recipes else "saved_models"}
        return used | {"output"}

    @property
    def limits(self) -> dict[str, float]:
        return thresholds.parse(self.thresholds)


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"report takes flags only, got {argv[0]!r}")
    settings = config.from_flags(ReportConfig)
    if not settings.output:
        rows, notes, _ = _rows(settings)
        _print(rows, notes)
        return
    output = pathlib.Path(settings.output)
    known = [*formats.FORMATS]
    known += [".html"] * bool(settings.results)
    known += [".png"] * bool(settings.latents)
    formats.check(output, known)
    if output.suffix == ".png":
        # Of what no table needs: it draws.
        from dim_tf.reporting import figures

        figure = figures.latent_spaces(*_latents(settings))
        with staging.staged(output) as whole:
            figure.savefig(whole, dpi=120)
        return
    text = (
        _document(settings, output)
        if settings.template
        else _text(settings, output.suffix)
    )
    with staging.staged(output) as whole:
        whole.write_text(text, encoding="utf-8")


def _text(settings: ReportConfig, suffix: str) -> str:
    """A report in the format of a suffix."""
    rows, notes, records = _rows(settings)
    if suffix == ".html":
        from dim_tf.reporting import html

        folder = pathlib.Path(settings.results)
        return html.page(
            records,
            rows,
            notes,
            str(folder),
            functools.partial(results.adversarials, folder),
            _latents(settings) if settings.latents else None,
            settings.limits,
            results.made_with(folder),
        )
    if records is not None and suffix in numbers.FORMATS:
        found = numbers.rows(records, settings.limits, settings.allow_missing)
        made = results.made_with(pathlib.Path(settings.results))
        return numbers.FORMATS[suffix](found, notes, made)
    text = formats.FORMATS[suffix](rows)
    if suffix == ".md" and notes:
        text += "\n" + formats.listing(notes)
    return text


def _document(settings: ReportConfig, output: pathlib.Path) -> str:
    from dim_tf.reporting import document

    folder = pathlib.Path(settings.results)
    pictures = output.with_name(output.stem.lower())
    if folder.resolve().is_relative_to(pictures.resolve()):
        raise ValueError(
            f"the pictures of {output} would go to {pictures}, where the "
            "records are; give --output another name or folder"
        )
    return document.fill(
        pathlib.Path(settings.template).read_text(encoding="utf-8"),
        results.read(folder, results.WITHOUT_IMAGES),
        functools.partial(results.adversarials, folder),
        pictures,
        compared=benchmarks.read_all(pathlib.Path(settings.benchmark))
        if settings.benchmark
        else None,
        allow_missing=settings.allow_missing,
    )


def _print(rows: formats.Rows, notes: list[tuple[str, str]]) -> None:
    console = rich.console.Console()
    if console.is_terminal:
        console.print(formats.to_rich(rows))
    else:
        print(formats.to_markdown(rows))
    if notes:
        print()
    for level, sentence in notes:
        print(f"{level}: {sentence}")


def _rows(settings: ReportConfig):
    """The table, what to know before believing it, and the records."""
    if settings.results:
        records = results.read(
            pathlib.Path(settings.results), results.WITHOUT_IMAGES
        )
        rows = tables.results_table(
            records, settings.allow_missing, settings.limits
        )
        notes = diagnostics.diagnostics(records, settings.limits)
        return rows, notes, records
    if settings.benchmark:
        compared = benchmarks.read(pathlib.Path(settings.benchmark))
        rows = benchmarks.attacks_table(compared)
        return rows, benchmarks.summary(compared), None
    if settings.recipes:
        return cards.recipes_table(pathlib.Path(settings.recipes)), [], None
    return cards.models_table(pathlib.Path(settings.saved_models)), [], None


def _latents(settings: ReportConfig) -> tuple[np.ndarray, np.ndarray]:
    """Latents of test images, and their labels."""
    from dim_tf import data
    from dim_tf import metrics
    from dim_tf import models
    from dim_tf.models import saving

    model = models.load_outputs(settings.latents)
    if "latents" not in model.output:
        raise ValueError(
            f"--latents={settings.latents} has no latent spaces, only "
            f"{', '.join(model.output)}"
        )
    card = saving.read_card(models.find(settings.latents))
    dataset = data.DataConfig(dataset=card["settings"]["dataset"])
    test = data.load(dataset, "test")
    test = test.take(slice(settings.latents_examples))
    return metrics.outputs(model, test.images, "latents"), test.labels


if __name__ == "__main__":
    config.define_flags(ReportConfig)
    entry.run(main)
