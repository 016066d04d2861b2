"""Pictures of what a model does, as plain image arrays."""

import pathlib
from collections.abc import Mapping
from collections.abc import Sequence

import keras
import matplotlib.figure
import numpy as np
import tensorflow as tf

from dim_tf import data

NUM_EXAMPLES = 10
# Of a picture of stages: one of more would be too high for a PNG's drawing.
MOST_ROWS = 300


def rows(*images, gap: int = 2) -> np.ndarray:
    """Stacks rows of images into one picture.

    Args:
        images: arrays `(columns, 28, 28, 1)`, one per row; clipped to [0, 1].
        gap: gray pixels below and to the right of each tile.

    Returns:
        float32 `(height, width, 1)` in [0, 1].
    """
    grid = np.clip(np.stack([np.asarray(row) for row in images]), 0.0, 1.0)
    margins = ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0))
    tiles = np.pad(grid, margins, constant_values=0.5)
    count_rows, count_columns, height, width, _ = tiles.shape
    return (
        tiles.transpose(0, 2, 1, 3, 4)
        .reshape(count_rows * height, count_columns * width, 1)
        .astype(np.float32)
    )


def one_of_each(examples: data.Examples) -> data.Examples:
    """The first example of every class that is there, in class order."""
    return examples.take(np.unique(examples.labels, return_index=True)[1])


def of_outputs(
    model: keras.Model, examples: data.Examples
) -> dict[str, np.ndarray]:
    """One digit of each class with what every stage of DIM makes of it.

    Each row is a digit: the image, the denoised image, the ten
    reconstructions. A well trained model is bright on the diagonal alone.
    """
    digits = one_of_each(examples)
    outputs = model(tf.constant(digits.images), training=False)
    reconstructions = np.asarray(outputs["reconstructions"])
    columns = np.concatenate(
        [
            digits.images[:, None],
            np.asarray(outputs["denoised"])[:, None],
            reconstructions,
        ],
        axis=1,
    )
    return {"image_denoised_reconstructions": rows(*columns)}


def draw_stages(
    path: pathlib.Path,
    images: np.ndarray,
    names: Sequence[str],
    outputs: Mapping[str, np.ndarray],
) -> None:
    """Draws what every stage of DIM makes of images, one row each.

    Args:
        path: the PNG file to write.
        images: float32 `(n, 28, 28, 1)`, at most `MOST_ROWS`.
        names: of the images.
        outputs: `denoised`, `reconstructions` and `scores` of the images.
    """
    columns = 2 + data.NUM_CLASSES
    figure = matplotlib.figure.Figure(
        figsize=(1.05 * columns, 1.5 * len(images)), layout="constrained"
    )
    grid = figure.subplots(len(images), columns, squeeze=False)
    for row, axes in enumerate(grid):
        scores = outputs["scores"][row]
        tiles = [images[row], outputs["denoised"][row]]
        tiles.extend(outputs["reconstructions"][row])
        titles = ["input", "denoised"]
        titles.extend(f"{k}: {score:.2f}" for k, score in enumerate(scores))
        for axis, tile, title in zip(axes, tiles, titles, strict=True):
            axis.imshow(tile[..., 0], cmap="gray", vmin=0.0, vmax=1.0)
            axis.set_title(title, fontsize=9)
            axis.set(xticks=[], yticks=[])
        winner = axes[2 + int(scores.argmax())]
        winner.set_title(winner.get_title(), fontsize=9, fontweight="bold")
        winner.spines[:].set(color="tab:orange", linewidth=3)
        name = pathlib.Path(names[row]).name[-18:]
        axes[0].set_ylabel(name, fontsize=7, parse_math=False)
    figure.savefig(path, format="png", dpi=120)
