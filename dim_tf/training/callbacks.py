"""Watchers of a training: a progress line and TensorBoard."""

import functools
import pathlib
import sys
import time
from collections.abc import Mapping

import numpy as np
import rich.console
import rich.progress
import tensorflow as tf
from tensorboard.plugins import projector
from tensorboard.plugins.hparams import api as hparams

from dim_tf import data
from dim_tf import pictures
from dim_tf.training.loop import Callback
from dim_tf.training.loop import Stage


class Progress(Callback):
    """One progress bar per stage, with loss, accuracy and the time left.

    On anything but a terminal it prints one plain line per epoch instead.
    """

    def __init__(self):
        self._console = rich.console.Console(file=sys.stderr)
        self._bar = rich.progress.Progress(
            "{task.description}",
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            "{task.fields[note]}",
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = rich.progress.TaskID(0)
        self._loss = float("nan")
        self._accuracy = ""
        self._started = 0.0, 0

    def on_stage_begin(self, stage: Stage, step: int) -> None:
        self._bar.start()
        self._started = time.monotonic(), step
        self._accuracy = ""
        self._task = self._bar.add_task(
            stage.name, total=stage.steps, completed=step, note=""
        )

    def on_log(self, stage, step, scalars) -> None:
        self._loss = scalars["loss"]
        note = f"loss {self._loss:.3f}{self._accuracy}"
        self._bar.update(self._task, completed=step, note=note)

    def on_epoch_end(self, stage, step, scalars) -> None:
        accuracy = scalars.get("validation/accuracy")
        if accuracy is not None:
            self._accuracy = f", validation {accuracy:.2%}"
        if self._console.is_terminal:
            return
        started, first_step = self._started
        pace = (time.monotonic() - started) / (step - first_step)
        self._console.print(
            f"{stage.name}: step {step}/{stage.steps}, loss {self._loss:.3f}"
            f"{self._accuracy}, {pace * (stage.steps - step):.0f} s left"
        )

    def on_end(self) -> None:
        self._bar.stop()  # gives the terminal its cursor back


class TensorBoard(Callback):
    """Writes scalars, pictures and the settings of a run for TensorBoard.

    Args:
        log_dir: folder of the event files.
        settings: the run's, by name.
    """

    def __init__(
        self, log_dir: pathlib.Path, settings: Mapping[str, str | float]
    ):
        self._log_dir = log_dir
        self._settings = dict(settings)

    @functools.cached_property  # nothing is written for a run that is refused
    def _writer(self):
        writer = tf.summary.create_file_writer(str(self._log_dir))
        with writer.as_default(step=0):
            hparams.hparams(self._settings, trial_id=self._log_dir.name)
        return writer

    def on_log(self, stage, step, scalars) -> None:
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(f"{stage.name}/{name}", value)

    def on_epoch_end(self, stage, step, scalars) -> None:
        self.on_log(stage, step, scalars)
        with self._writer.as_default(step=step):
            for name, picture in stage.draw().items():
                tf.summary.image(f"{stage.name}/{name}", picture[None])
        self._writer.flush()


def write_embeddings(
    log_dir: pathlib.Path, latents: np.ndarray, examples: data.Examples
) -> None:
    """Puts latent codes into TensorBoard's embedding projector.

    Args:
        log_dir: the run's log folder.
        latents: float32 `(n, encoders, latent_units)`; one embedding is made
            for each encoder.
        examples: the `n` images behind them, shown as thumbnails and colored
            by digit.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    columns = int(np.ceil(np.sqrt(len(examples))))
    sprite = np.zeros((columns**2, *data.IMAGE_SHAPE), np.float32)
    sprite[: len(examples)] = 1.0 - examples.images
    sheet = pictures.rows(*np.split(sprite, columns), gap=0)
    png = tf.io.encode_png(np.round(sheet * 255).astype(np.uint8))
    tf.io.write_file(str(log_dir / "sprite.png"), png)
    np.savetxt(log_dir / "labels.tsv", examples.labels, fmt="%d")
    settings = projector.ProjectorConfig()
    for index in range(latents.shape[1]):
        embedding = settings.embeddings.add()
        one = latents.shape[1] == 1  # which all internal models share
        embedding.tensor_name = "encoder" if one else f"internal model {index}"
        embedding.tensor_path = f"latents_{index}.tsv"
        embedding.metadata_path = "labels.tsv"
        embedding.sprite.image_path = "sprite.png"
        embedding.sprite.single_image_dim.extend(data.IMAGE_SHAPE[:2])
        np.savetxt(
            log_dir / embedding.tensor_path,
            latents[:, index],
            fmt="%.6g",
            delimiter="\t",
        )
    projector.visualize_embeddings(str(log_dir), settings)
