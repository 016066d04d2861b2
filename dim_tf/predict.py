r"""Classifies image files of handwritten digits.

    python -m dim_tf.predict --model=saved_models/dim seven.png scans/*.jpg

PNG, JPEG and NPY files of any size, either polarity, gray or color; how they
become 28x28 images is written in dim_tf/digits.py. `--picture=out.png` draws
what a DIM sees: the input, the denoised image and the ten reconstructions.
"""

import dataclasses
import pathlib

import numpy as np

from dim_tf import config
from dim_tf import digits
from dim_tf import entry
from dim_tf import models
from dim_tf import pictures


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Which model to ask and what to write."""

    model: str = config.setting(
        "dim", "Name of a model, or the folder of a trained one."
    )
    picture: str = config.setting(
        "", "PNG file to draw the stages of DIM into; empty: none."
    )

    def __post_init__(self):
        config.validate(self)


def main(argv: list[str]) -> None:
    settings = config.from_flags(PredictConfig)
    if not argv:
        raise ValueError("predict needs image files: predict [flags] IMAGE...")
    model = models.load_outputs(settings.model)
    missing = {"denoised", "reconstructions"} - model.output.keys()
    if settings.picture and missing:
        raise ValueError(
            "--picture draws denoised images and reconstructions, and "
            f"{settings.model} has no {' and no '.join(sorted(missing))}"
        )
    files = [(path, digits.read(path)) for path in argv]
    names = [
        path if len(images) == 1 else f"{path}[{index}]"
        for path, images in files
        for index in range(len(images))
    ]
    images = np.concatenate([images for _, images in files])
    if settings.picture and len(images) > pictures.MOST_ROWS:
        raise ValueError(
            f"--picture draws at most {pictures.MOST_ROWS} images, got "
            f"{len(images)}; name fewer, or leave it out"
        )
    outputs = model.predict(images, batch_size=100, verbose=0)
    for name, scores in zip(names, outputs["scores"], strict=True):
        first, second = np.argsort(-scores)[:2]
        print(
            f"{name}: {first} (score {scores[first]:.3f}; next is {second} "
            f"with {scores[second]:.3f})"
        )
    if settings.picture:
        path = pathlib.Path(settings.picture)
        pictures.draw_stages(path, images, names, outputs)
        print(f"picture: {path}")


if __name__ == "__main__":
    config.define_flags(PredictConfig)
    entry.run(main)
