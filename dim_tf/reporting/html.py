"""One self-contained page of everything that records say."""

import io
import pathlib
from collections.abc import Callable
from collections.abc import Mapping

import jinja2
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from dim_tf.evaluation import thresholds
from dim_tf.reporting import costs
from dim_tf.reporting import figures
from dim_tf.reporting import formats
from dim_tf.reporting import provenance
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.formats import Rows

_TEMPLATE = pathlib.Path(__file__).with_name("page.html")


def page(
    records: pa.Table,
    rows: Rows,
    notes: list[tuple[str, str]],
    title: str,
    adversarials: Callable[..., dict],
    latents: tuple[np.ndarray, np.ndarray] | None = None,
    limits: Mapping[str, float] = thresholds.PAPER,
    made: provenance.Made | None = None,
) -> str:
    """HTML without anything to load from elsewhere.

    Args:
        records: of `evaluation.results`, without adversarials.
        rows: of `tables.results_table`.
        notes: of `diagnostics.diagnostics`.
        title: of the page.
        adversarials: `results.adversarials` of the folder.
        latents: what `figures.latent_spaces` takes; None: no such figure.
        limits: thresholds by norm.
        made: of `results.made_with`; None: it is not told.
    """
    cells = statistics.cells(records, limits)
    curves, boxes, galleries = [], [], []
    for norm in tables.TITLES:
        least = statistics.closest_by_model(cells, norm)
        if least:
            curves.append(_svg(figures.accuracy_curves(least, norm)))
            boxes.append(_svg(figures.distance_boxes(least, norm)))
        models = dict.fromkeys(c.model for c in cells if c.norm == norm)
        galleries += _galleries(records, models, norm, adversarials)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = _TEMPLATE.read_text(encoding="utf-8")
    return environment.from_string(template).render(
        title=title,
        rows=list(map(formats.plain, rows)),
        diagnostics=notes,
        curves=curves,
        boxes=boxes,
        galleries=galleries,
        latents=_svg(figures.latent_spaces(*latents)) if latents else None,
        costs=list(map(formats.plain, costs.costs_table(records))),
        made=list(map(formats.plain, provenance.table(made))) if made else None,
        thresholds=tables.thresholds_text(limits),
    )


def _galleries(records, models, norm, adversarials):
    for model in models:
        rows = figures.pictured(records, model, norm, adversarials)
        images = [
            {
                "address": figures.png(row["adversarial"]),
                "distance": row[f"distance_{norm}"],
                **row,
            }
            for row in rows
        ]
        if images:
            yield f"{model}, {tables.TITLES[norm]}", images


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    # The XML head has no place within a page.
    return text.getvalue()[text.getvalue().index("<svg") :]
