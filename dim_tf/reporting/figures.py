"""Pictures: accuracy over epsilon, distances, adversarials, latent spaces."""

import base64
import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from PIL import Image

from dim_tf.evaluation import results
from dim_tf.reporting import tables
from dim_tf.reporting.statistics import Cell

_GALLERY_COLUMNS = 10
# Curves stay apart without color, too.
_STYLES = ("-", "--", "-.", ":")


def accuracy_curves(cells: list[Cell], norm: str) -> Figure:
    """Robust accuracy over epsilon, one curve for each model.

    Args:
        cells: the minima over all attacks of the norm, one for each model.
        norm: of the distances.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    finite = np.concatenate(
        [c.distances[np.isfinite(c.distances)] for c in cells]
    )
    limit = cells[0].threshold
    right = max(np.quantile(finite, 0.98) if len(finite) else 0, 1.5 * limit)
    curves = []
    for number, cell in enumerate(cells):
        # At epsilon itself an adversarial counts already.
        count = len(cell.distances)
        (curve,) = axes.step(
            np.r_[0.0, np.minimum(np.sort(cell.distances), 2 * right)],
            1.0 - np.arange(count + 1) / count,
            where="post",
            linestyle=_STYLES[number % len(_STYLES)],
        )
        curves.append(curve)
    axes.axvline(limit, color="0.6", linewidth=0.8)
    axes.set(
        xlim=(0, right),
        ylim=(0, 1.02),
        xlabel=f"{tables.TITLES[norm]} distance",
        ylabel="robust accuracy",
        title=f"All {tables.TITLES[norm]} attacks",
    )
    figure.legend(
        # Labels of curves would go without names that begin with a _.
        curves,
        [_literal(cell.model) for cell in cells],
        loc="outside right upper",
        fontsize="small",
    )
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
        unbroken = f" ({left} unbroken)" if left else ""
        names.append(_literal(cell.model) + unbroken)
    axes.boxplot(
        [cell.distances[np.isfinite(cell.distances)] for cell in cells],
        orientation="horizontal",
        tick_labels=names,
        whis=(5, 95),
        showfliers=False,
        medianprops={"color": "black"},
    )
    axes.axvline(cells[0].threshold, color="0.6", linewidth=0.8)
    axes.invert_yaxis()
    axes.set(
        xlim=(0, None),
        xlabel=f"{tables.TITLES[norm]} distance",
        title=f"Closest adversarials in {tables.TITLES[norm]}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _literal(name: str) -> str:
    """A name without what would be mathematics."""
    return name.replace("$", r"\$")


def closest(records: pa.Table, model: str, norm: str) -> list[dict]:
    """The closest adversarials of the first samples of a model.

    Args:
        records: of `evaluation.results`.
        model: name.
        norm: of the distances.

    Returns:
        Records as dicts, one for each of the first ten samples attacked that
        has any.
    """
    own = records.filter(
        (pc.field("model") == model)
        & (pc.field("norm") == norm)
        & (pc.field("preset") != results.PROBE)
    )
    first = own["sample"].unique()[:_GALLERY_COLUMNS]
    rows = own.filter(
        (pc.field("status") == "success") & pc.field("sample").isin(first)
    ).to_pylist()
    chosen: dict[int, dict] = dict.fromkeys(first.to_pylist(), {})
    for row in sorted(rows, key=lambda row: row[f"distance_{norm}"]):
        chosen[row["sample"]] = chosen[row["sample"]] or row
    return [row for row in chosen.values() if row]


def pictured(
    records: pa.Table, model: str, norm: str, adversarials: Callable
) -> list[dict]:
    """`closest` with the adversarials themselves.

    Where they were kept, and are gray or of three colors.

    Args:
        records: of `evaluation.results`.
        model: name.
        norm: of the distances.
        adversarials: `results.adversarials` of the records' folder.
    """
    rows = closest(records, model, norm)
    samples: dict[str, list[int]] = {}
    for row in rows:
        samples.setdefault(row["attack"], []).append(row["sample"])
    found = adversarials(model, samples)
    keys = [(row["attack"], row["sample"]) for row in rows]
    return [
        {**row, "adversarial": found[key]}
        for key, row in zip(keys, rows, strict=True)
        if key in found and found[key].shape[-1] in (1, 3)
    ]


def gallery(shown: dict[str, list[dict]], norm: str, title: str) -> Figure:
    """Adversarials, a row for each model, what they are taken for above.

    Args:
        shown: by model, records of `pictured`, some of all.
        norm: of the distances below the images.
        title: what they are; the norm's name goes after it.
    """
    pairs = {
        (row["label"], row["sample"]) for rows in shown.values() for row in rows
    }
    columns = [sample for _, sample in sorted(pairs)]
    figure = Figure(
        figsize=(1.0 + 0.95 * len(columns), 0.4 + 1.25 * len(shown)),
        layout="constrained",
    )
    grid = figure.subplots(len(shown), len(columns), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for line, (model, rows) in zip(grid, shown.items(), strict=True):
        name = _literal(model)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for row in rows:
            axes = line[columns.index(row["sample"])]
            axes.imshow(row["adversarial"], cmap="gray", vmin=0, vmax=1)
            words = f"{row['label']} as {row['adversarial_prediction']}"
            axes.set_title(words, fontsize=8, pad=2)
            distance = row[f"distance_{norm}"]
            axes.set_xlabel(f"{distance:.3g}", fontsize=8, labelpad=1)
    figure.suptitle(f"{title}, {tables.TITLES[norm]}", fontsize=10)
    return figure


def png(image: np.ndarray) -> str:
    """An image as a `data:` address of a PNG file.

    Args:
        image: float `(height, width, 1)` or `(height, width, 3)` in [0, 1].
    """
    levels = np.round(image * 255).astype(np.uint8)
    file = io.BytesIO()
    # Pillow knows no gray image of three dimensions.
    gray = levels.shape[-1] == 1
    Image.fromarray(levels[..., 0] if gray else levels).save(file, "png")
    code = base64.b64encode(file.getvalue()).decode()
    return f"data:image/png;base64,{code}"


def latent_spaces(latents: np.ndarray, labels: np.ndarray) -> Figure:
    """Figure 3 of the paper: t-SNE of each internal model's latent space.

    Args:
        latents: float `(n, spaces, dimensions)`.
        labels: int `(n,)`.

    Returns:
        A panel for every space, points colored by digit. Of several spaces, a
        space's own digit is drawn as the digit itself, to be found without
        color, too; a single one is that of all digits.
    """
    # Slow to import, and for this picture alone.
    from sklearn import manifold

    spaces = latents.shape[1]
    figure = Figure(figsize=(12.5, 2.5 * -(-spaces // 5)), layout="constrained")
    for space in range(spaces):
        points = manifold.TSNE(random_state=0).fit_transform(latents[:, space])
        axes = figure.add_subplot(-(-spaces // 5), 5, space + 1)
        for label in np.unique(labels):
            own = points[labels == label]
            marked = label == space or spaces == 1
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=14 if marked else 3,
                color=f"C{label}",
                marker=f"${label}$" if marked else "o",
                label=str(label),
                linewidths=0,
            )
        title = f"internal model {space}" if spaces > 1 else "shared encoder"
        axes.set(xticks=[], yticks=[], title=title)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside right center", title="digit", markerscale=2
    )
    return figure
