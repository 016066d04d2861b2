"""One self-contained page of everything that records say."""

import io
import pathlib

import jinja2
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from dim_tf.reporting import diagnostics
from dim_tf.reporting import figures
from dim_tf.reporting import formats
from dim_tf.reporting import statistics
from dim_tf.reporting.cards import Rows

_TEMPLATE = pathlib.Path(__file__).with_name("page.html")


def page(records: pa.Table, rows: Rows, title: str) -> str:
    """HTML without anything to load from elsewhere.

    Args:
        records: of `evaluation.results`, adversarials included.
        rows: of `tables.results_table`.
        title: of the page.
    """
    cells = statistics.cells(records)
    models = list(dict.fromkeys(cell.model for cell in cells))
    curves, galleries = [], []
    for norm, name in figures.TITLES.items():
        least = statistics.closest_by_model(cells, norm)
        if least:
            curves.append(_svg(figures.accuracy_curves(least, norm)))
        for model in models:
            figure = figures.gallery(records, model, norm)
            if figure:
                galleries.append((f"{model}, {name}", _svg(figure)))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_TEMPLATE.read_text()).render(
        title=title,
        rows=list(map(formats.plain, rows)),
        diagnostics=diagnostics.diagnostics(records),
        curves=curves,
        galleries=galleries,
        costs=_costs(records),
    )


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    # The XML head has no place within a page.
    return text.getvalue()[text.getvalue().index("<svg") :]


def _costs(records: pa.Table) -> Rows:
    names = ("model", "attack", "forwards", "backwards", "seconds")
    columns = {name: np.array(records[name].to_pylist()) for name in names}
    attacked = np.array(records["status"].to_pylist()) != "misclassified"
    places = zip(columns["model"], columns["attack"], strict=True)
    rows: Rows = [("model", "attack", "forward passes", "backward", "seconds")]
    for model, attack in dict.fromkeys(places):
        own = (columns["model"] == model) & (columns["attack"] == attack)
        own &= attacked
        if own.any():
            costs = [columns[name][own].mean() for name in names[2:]]
            rows.append(
                (
                    str(model),
                    str(attack),
                    f"{costs[0]:,.0f}",
                    f"{costs[1]:,.0f}",
                    f"{costs[2]:.3g}",
                )
            )
    return rows
