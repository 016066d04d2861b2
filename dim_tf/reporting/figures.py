"""Pictures: accuracy over epsilon, distances, adversarials, latent spaces."""

import base64
import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from PIL import Image
from sklearn import manifold

from dim_tf.evaluation import results
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


def distance_boxes(cells: list[Cell], norm: str) -> Figure:
    """Distances of the closest adversarials, one box for each model.

    Args:
        cells: the minima over all attacks of the norm, one for each model.
        norm: of the distances.
    """
    height = 1.1 + 0.35 * len(cells)
    figure = Figure(figsize=(6, height), layout="constrained")
    axes = figure.add_subplot()
    names = []
    for cell in cells:
        found = np.isfinite(cell.distances)
        left = len(found) - found.sum()
        # What no attack succeeds on has no place on the axis.
        names.append(cell.model + (f" ({left} unbroken)" if left else ""))
    axes.boxplot(
        [cell.distances[np.isfinite(cell.distances)] for cell in cells],
        orientation="horizontal",
        tick_labels=names,
        whis=(5, 95),
        showfliers=False,
        medianprops={"color": "black"},
    )
    axes.axvline(statistics.THRESHOLDS[norm], color="0.6", linewidth=0.8)
    axes.invert_yaxis()
    axes.set(
        xlim=(0, None),
        xlabel=f"{TITLES[norm]} distance",
        title=f"Closest adversarials in {TITLES[norm]}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def closest(records: pa.Table, model: str, norm: str) -> list[dict]:
    """The closest adversarials of the first samples of a model.

    Args:
        records: of `evaluation.results`.
        model: name.
        norm: of the distances.

    Returns:
        Records as dicts, at most ten, one a sample.
    """
    own = records.filter(
        (pc.field("model") == model)
        & (pc.field("norm") == norm)
        & (pc.field("status") == "success")
        & (pc.field("preset") != results.PROBE)
    )
    first = np.unique(own["sample"].to_numpy())[:_GALLERY_COLUMNS]
    own = own.filter(pc.field("sample").isin(first.tolist()))
    by_distance = own.sort_by(
        [("sample", "ascending"), (f"distance_{norm}", "ascending")]
    )
    chosen: dict[int, dict] = {}
    for row in by_distance.to_pylist():
        chosen.setdefault(row["sample"], row)
    return list(chosen.values())


def png(pixels) -> str | None:
    """A square image as a `data:` address of a PNG file.

    Args:
        pixels: float `(side * side,)` or `(side * side * 3,)` in [0, 1].

    Returns:
        The address; None where the image is not square.
    """
    gray = np.asarray(pixels)
    for channels in ((), (3,)):
        side = round(np.sqrt(len(gray) / np.prod(channels)))
        shape = (side, side, *channels)
        if np.prod(shape) == len(gray):
            levels = np.round(gray.reshape(shape) * 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(levels).save(file, "png")
            code = base64.b64encode(file.getvalue()).decode()
            return f"data:image/png;base64,{code}"
    return None


def latent_spaces(latents: np.ndarray, labels: np.ndarray) -> Figure:
    """Figure 3 of the paper: t-SNE of each internal model's latent space.

    Args:
        latents: float `(n, spaces, dimensions)`.
        labels: int `(n,)`.

    Returns:
        A panel for every space, points colored by digit; the space's own digit
        is drawn as the digit itself, to be found without color, too.
    """
    spaces = latents.shape[1]
    figure = Figure(figsize=(12.5, 2.5 * -(-spaces // 5)), layout="constrained")
    for space in range(spaces):
        points = manifold.TSNE(random_state=0).fit_transform(latents[:, space])
        axes = figure.add_subplot(-(-spaces // 5), 5, space + 1)
        for label in np.unique(labels):
            own = points[labels == label]
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=14 if label == space else 3,
                color=f"C{label}",
                marker=f"${label}$" if label == space else "o",
                label=str(label),
                linewidths=0,
            )
        axes.set(xticks=[], yticks=[], title=f"internal model {space}")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside right center", title="digit", markerscale=2
    )
    return figure
