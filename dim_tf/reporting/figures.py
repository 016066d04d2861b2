"""Pictures of records: accuracy over epsilon, the closest adversarials."""

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from dim_tf.reporting import statistics
from dim_tf.reporting.statistics import Cell

TITLES = {"l2": "L2", "linf": "Linf", "l0": "L0", "l1": "L1"}
_GALLERY_COLUMNS = 10
# Curves stay apart without color, too.
_STYLES = ("-", "--", "-.", ":")


def accuracy_curves(cells: list[Cell], norm: str) -> Figure:
    """Robust accuracy over epsilon, one curve for each model.

    Args:
        cells: the minima over all attacks of the norm, one for each model.
        norm: of the distances.
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    finite = np.concatenate(
        [c.distances[np.isfinite(c.distances)] for c in cells]
    )
    limit = statistics.THRESHOLDS[norm]
    right = max(np.quantile(finite, 0.98) if len(finite) else 0, 1.5 * limit)
    for number, cell in enumerate(cells):
        # At epsilon itself an adversarial counts already.
        count = len(cell.distances)
        axes.step(
            np.r_[0.0, np.minimum(np.sort(cell.distances), 2 * right)],
            1.0 - np.arange(count + 1) / count,
            where="post",
            linestyle=_STYLES[number % len(_STYLES)],
            label=cell.model,
        )
    axes.axvline(limit, color="0.6", linewidth=0.8)
    axes.set(
        xlim=(0, right),
        ylim=(0, 1.02),
        xlabel=f"{TITLES[norm]} distance",
        ylabel="robust accuracy",
        title=f"All {TITLES[norm]} attacks",
    )
    axes.legend(loc="upper right", fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def gallery(records: pa.Table, model: str, norm: str) -> Figure | None:
    """The closest adversarials of a norm, for the first samples of a model.

    Args:
        records: with the column `adversarial`.
        model: name.
        norm: of the distances.

    Returns:
        A row of images, or None where there are none of square ones.
    """
    rows = [
        row
        for row in records.to_pylist()
        if row["model"] == model
        and row["norm"] == norm
        and row["adversarial"] is not None
    ]
    closest: dict[int, dict] = {}
    for row in rows:
        best = closest.setdefault(row["sample"], row)
        if row[f"distance_{norm}"] < best[f"distance_{norm}"]:
            closest[row["sample"]] = row
    chosen = [closest[sample] for sample in sorted(closest)][:_GALLERY_COLUMNS]
    if not chosen:
        return None
    side = int(np.sqrt(len(chosen[0]["adversarial"])))
    if side**2 != len(chosen[0]["adversarial"]):
        return None
    figure = Figure(figsize=(_GALLERY_COLUMNS, 1.7), layout="constrained")
    for place, row in enumerate(chosen):
        axes = figure.add_subplot(1, _GALLERY_COLUMNS, place + 1)
        image = np.reshape(row["adversarial"], (side, side))
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        distance = row[f"distance_{norm}"]
        axes.set_title(
            f"{row['label']} as {row['adversarial_prediction']}\n"
            f"{distance:.3g}\n{row['attack'].partition('_')[2]}",
            fontsize=5,
        )
    return figure
