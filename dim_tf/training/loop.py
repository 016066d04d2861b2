"""The training loop: compiled steps, checkpoints that resume exactly.

A training is a list of stages, one after the other, each a model with a loss
and a stream of batches that is a pure function of the step. A checkpoint holds
the weights, the optimizer and the step; what was killed at any moment and runs
again ends with the weights of a run that never stopped.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from dim_tf import data
from dim_tf import noise


@dataclasses.dataclass(frozen=True)
class Stage:
    """One model to train.

    Attributes:
        name: of the stage, in logs and checkpoint folders.
        model: whose trainable variables are trained.
        prepare: function of a batch's tensors, `(numbers, noisy, clean,
            labels)`, that gives what the loss takes; outside of the gradient
            and of XLA, whose random numbers are slow on a CPU.
        loss: function of these `-> losses (batch,)`.
        examples: what to train on.
        batch_size: images per step.
        epochs: passes over the examples; `validate` and `draw` follow each.
        seed: int `(2,)`, of order and noise.
        learning_rate: at the start; falls to 0 along a cosine.
        noises: added to the images, see `data.training_batches`.
        jit_compile: whether XLA compiles the step: it fuses the optimizer and
            wins for dense nets, but loses for convolutions on a CPU.
        validate: function `() -> scalars by name`, run every epoch.
        draw: function `() -> images (rows of pictures) by name`.
    """

    name: str
    model: keras.Model
    prepare: Callable
    loss: Callable
    examples: data.Examples
    batch_size: int
    epochs: int
    seed: Any
    learning_rate: float
    noises: Sequence[noise.Noise] = ()
    jit_compile: bool = False
    validate: Callable[[], Mapping[str, float]] = dict
    draw: Callable[[], Mapping[str, tf.Tensor]] = dict

    @property
    def steps_per_epoch(self) -> int:
        return len(self.examples) // self.batch_size

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def batches(self, first_step: int) -> tf.data.Dataset:
        """What `prepare` takes, from `first_step` to the end."""
        return data.training_batches(
            self.examples,
            batch_size=self.batch_size,
            epochs=self.epochs,
            seed=self.seed,
            noises=self.noises,
            first_step=first_step,
        )


class Callback:
    """What may watch a training; every method may be left out."""

    def on_stage_begin(self, stage: Stage, step: int) -> None:
        """A stage starts, or goes on, at `step`."""

    def on_log(
        self, stage: Stage, step: int, scalars: Mapping[str, float]
    ) -> None:
        """The mean training loss since the last call, and the like."""

    def on_epoch_end(
        self, stage: Stage, step: int, scalars: Mapping[str, float]
    ) -> None:
        """An epoch ended, with what `stage.validate` gave."""

    def on_end(self) -> None:
        """The training ended, also by an error or an interruption."""


def run(
    stages: Sequence[Stage],
    checkpoint_dir: pathlib.Path,
    *,
    callbacks: Sequence[Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    xla: bool = True,
    log_every: int = 50,
    checkpoint_every: int = 500,
) -> float:
    """Trains every stage, from the last checkpoint where there is one.

    Args:
        stages: what to train, in order; models made in the strategy's scope.
        checkpoint_dir: one folder per stage is made in it.
        callbacks: watchers.
        strategy: how the steps are spread over devices; None: the default one.
        xla: whether stages that ask for XLA get it.
        log_every: steps between looks at the loss.
        checkpoint_every: steps between checkpoints.

    Returns:
        Seconds of training in all, those before an interruption included.

    Raises:
        FloatingPointError: the loss is not finite; names the steps.
    """
    strategy = strategy or tf.distribute.get_strategy()
    seconds = 0.0
    try:
        for stage in stages:
            stage_run = _Run(stage, checkpoint_dir / stage.name, strategy, xla)
            stage_run.train(callbacks, log_every, checkpoint_every)
            seconds += float(stage_run.seconds)
    finally:
        for callback in callbacks:
            callback.on_end()
    return seconds


def restore(stages: Sequence[Stage], checkpoint_dir: pathlib.Path) -> float:
    """Puts the weights of a finished training into the stages' models.

    Returns:
        Seconds that the training took.

    Raises:
        FileNotFoundError: a stage has no checkpoint.
        ValueError: a stage has not been trained to its end.
    """
    seconds = 0.0
    for stage in stages:
        folder = checkpoint_dir / stage.name
        stage_run = _Run(stage, folder, tf.distribute.get_strategy(), xla=False)
        step = stage_run.restore()
        if not stage_run.manager.latest_checkpoint:
            raise FileNotFoundError(f"no checkpoint in {folder}")
        if step < stage.steps:
            raise ValueError(
                f"{folder} stopped at step {step} of {stage.steps}; run the "
                "training command again to finish it, or give the flags of "
                "the data that it was trained on"
            )
        seconds += float(stage_run.seconds)
    return seconds


class _Run:
    """A stage with its optimizer, its compiled step and its checkpoints."""

    def __init__(self, stage, checkpoint_dir, strategy, xla):
        self.stage = stage
        self.strategy = strategy
        self.schedule = keras.optimizers.schedules.CosineDecay(
            stage.learning_rate, stage.steps
        )
        with strategy.scope():
            self.optimizer = keras.optimizers.Adam(self.schedule)
            self.optimizer.build(stage.model.trainable_variables)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)
        self.manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(
                model=stage.model,
                optimizer=self.optimizer,
                step=self.step,
                seconds=self.seconds,
            ),
            str(checkpoint_dir),
            max_to_keep=1,
        )
        self.update = self._update
        # XLA cannot compile across devices.
        if xla and stage.jit_compile and strategy.num_replicas_in_sync == 1:
            self.update = tf.function(self._update, jit_compile=True)
        self.compiled_step = tf.function(self._distributed_step)

    def restore(self):
        """Goes to the latest checkpoint, if any; returns the steps done."""
        if self.manager.latest_checkpoint:
            path = self.manager.latest_checkpoint
            try:
                self.manager.checkpoint.restore(path).assert_consumed()
            except (AssertionError, ValueError, tf.errors.OpError) as error:
                raise ValueError(
                    f"{path} is damaged or of another model; delete "
                    f"{self.manager.directory} to train this stage again"
                ) from error
        return int(self.step)

    def train(self, callbacks, log_every, checkpoint_every):
        stage = self.stage
        first_step = self.restore()
        if not self.manager.latest_checkpoint:
            # For who trains the same model again in this process.
            self.manager.save(checkpoint_number=0)
        for callback in callbacks:
            callback.on_stage_begin(stage, first_step)
        batches = self.strategy.experimental_distribute_dataset(
            stage.batches(first_step)
        )
        started = time.monotonic() - float(self.seconds)
        losses = []
        for step, batch in enumerate(batches, start=first_step + 1):
            losses.append(self.compiled_step(batch))
            at_end = step == stage.steps
            at_epoch = step % stage.steps_per_epoch == 0 or at_end
            at_checkpoint = step % checkpoint_every == 0 or at_end
            # A loss is looked at before what it led to is saved.
            if step % log_every == 0 or at_epoch or at_checkpoint:
                self._log(callbacks, step, losses)
                losses = []
            if at_epoch:
                scalars = stage.validate()
                for callback in callbacks:
                    callback.on_epoch_end(stage, step, scalars)
            if at_checkpoint:
                self.step.assign(step)
                self.seconds.assign(time.monotonic() - started)
                self.manager.save(checkpoint_number=step)

    def _log(self, callbacks, step, losses):
        loss = float(tf.add_n(losses)) / len(losses)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the {self.stage.name} loss became {loss} between steps "
                f"{step - len(losses)} and {step}; lower its learning rate"
            )
        scalars = {
            "loss": loss,
            # That of the step, and not of the next one.
            "learning_rate": float(self.schedule(step - 1)),
        }
        for callback in callbacks:
            callback.on_log(self.stage, step, scalars)

    def _distributed_step(self, batch):
        replicas = self.strategy.num_replicas_in_sync
        losses = self.strategy.run(self._replica_step, args=(batch,))
        return (
            self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, None)
            / replicas
        )

    def _replica_step(self, batch):
        return self.update(*self.stage.prepare(*batch))

    def _update(self, *inputs):
        variables = self.stage.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.stage.loss(*inputs))
            # The optimizer adds up the replicas' gradients.
            scaled = loss / self.strategy.num_replicas_in_sync
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss
