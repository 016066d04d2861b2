"""Adversarial training: the inner maximum by PGD, the outer minimum by Adam.

Source: Madry et al., "Towards deep learning models resistant to adversarial
attacks" (ICLR 2018), equation (2.1). The original takes 100,000 steps of batch
50 with 40 steps of PGD each; here there are fewer and longer steps of PGD, and
epsilon grows from zero at first, as deep nets otherwise do not start to learn
(Gowal et al., "On the effectiveness of interval bound propagation for training
verifiably robust models", 2018).
"""

import dataclasses
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from dim_tf import attacks
from dim_tf import config
from dim_tf import data
from dim_tf import metrics
from dim_tf.attacks.problem import LOSSES
from dim_tf.attacks.problem import Problem
from dim_tf.training.loop import Stage


@dataclasses.dataclass(frozen=True)
class AdversarialRecipe:
    """How a classifier is trained on its own adversarials."""

    adversarial_epochs: int = config.setting(
        20, "Passes over the training images.", minimum=1
    )
    adversarial_learning_rate: float = config.setting(
        1e-3, "Adam's at the start; decays to 0 along a cosine.", minimum=0
    )
    adversarial_epsilon: float = config.setting(
        0.3, "Linf size of the perturbations.", minimum=0, maximum=1
    )
    adversarial_steps: int = config.setting(
        7, "Steps of PGD for every batch.", minimum=1
    )
    adversarial_stepsize: float = config.setting(
        0.25, "Length of a step of PGD, in epsilons.", minimum=0
    )
    adversarial_loss: str = config.setting(
        "cross_entropy",
        "Loss that PGD ascends; the paper's is cross_entropy, the training's.",
        choices=LOSSES,
    )
    adversarial_warmup: float = config.setting(
        2.0, "Epochs in which epsilon grows from 0.", minimum=0
    )

    def __post_init__(self):
        config.validate(self)


def stages(
    model: keras.Model,
    recipe: AdversarialRecipe,
    train: data.Examples,
    validation: data.Examples,
    *,
    batch_size: int,
    seed,
) -> list[Stage]:
    """The one stage that trains images -> `{"scores": logits}`."""
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="none"
    )
    warmup = max(recipe.adversarial_warmup * len(train), 1.0)

    def prepare(numbers, noisy, clean, labels):
        del noisy
        grown = tf.minimum(tf.cast(numbers, tf.float32) / warmup, 1.0)
        epsilons = recipe.adversarial_epsilon * grown
        found = perturb(
            model, recipe, clean, labels, epsilons, numbers, seed[1]
        )
        return found, labels

    def loss(adversarial, labels):
        return cross_entropy(
            labels, model(adversarial, training=True)["scores"]
        )

    return [
        Stage(
            name="classifier",
            model=model,
            prepare=prepare,
            loss=loss,
            examples=train,
            batch_size=batch_size,
            epochs=recipe.adversarial_epochs,
            seed=seed,
            learning_rate=recipe.adversarial_learning_rate,
            validate=validation_of(model, recipe, validation),
        )
    ]


def perturb(model, recipe, images, labels, epsilons, numbers, seed=0):
    """Where PGD ends, from a random start, within an epsilon of each image.

    Args:
        model: images -> dict with `scores`.
        recipe: gives the steps.
        images: float32 `(batch, height, width, channels)` in [0, 1].
        labels: int64 `(batch,)`.
        epsilons: float32 `(batch,)`.
        numbers: int64 `(batch,)`, of which each has its own start.
        seed: of all starts.

    Returns:
        float32 like the images.
    """
    shape = tuple(images.shape[1:])
    attack = attacks.LinfPGD(
        steps=recipe.adversarial_steps,
        rel_stepsize=recipe.adversarial_stepsize,
        loss=recipe.adversarial_loss,
    )
    numbers = tf.cast(numbers, tf.int32)
    problem = Problem(
        images=tf.reshape(images, (-1, math.prod(shape))),
        classes=labels,
        seeds=tf.stack([numbers, tf.fill(tf.shape(numbers), seed)], 1),
        targeted=False,
        model=lambda inputs: model(inputs, training=False)["scores"],
        shape=shape,
        bounds=(0.0, 1.0),
    )
    found = attack.perturb(problem, epsilons[:, None], attack.prepare(problem))
    return tf.reshape(tf.stop_gradient(found), (-1, *shape))


def validation_of(
    model, recipe, validation: data.Examples
) -> Callable[[], dict[str, float]]:
    """What measures a model, clean and on perturbed validation images."""
    some = validation.take(slice(1_000))

    @tf.function
    def perturbed(images, labels, numbers):
        epsilons = tf.fill(tf.shape(labels), recipe.adversarial_epsilon)
        return perturb(model, recipe, images, labels, epsilons, numbers)

    def measure():
        found = perturbed(
            *map(tf.constant, (some.images, some.labels, some.rows))
        )
        adversarial = dataclasses.replace(some, images=found.numpy())
        return {
            **metrics.validation_scalars(model, validation),
            "validation/adversarial_accuracy": metrics.accuracy(
                model, adversarial
            ),
        }

    return measure
