"""Training ABS: a variational autoencoder per class, then biABS's scales.

Source: Schott et al., "Towards the first adversarially robust neural network
model on MNIST" (ICLR 2019), section 3 and its appendix.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from dim_tf import config
from dim_tf import data
from dim_tf import noise
from dim_tf import pictures
from dim_tf.models.latent_search import evidence_bounds
from dim_tf.training.loop import Stage

_LATENT_NOISE = 2  # beside the seeds that `data.training_batches` takes
_SCALE_BATCH_SIZE = 128
# Bounds differ by tens between classes; a softmax of them hardly has errors.
_TEMPERATURE = 10.0


@dataclasses.dataclass(frozen=True)
class AbsRecipe:
    """How the autoencoders and the scales of the binary variant are trained."""

    abs_epochs: int = config.setting(
        60, "Passes over the training images.", minimum=1
    )
    abs_learning_rate: float = config.setting(
        2e-3, "Adam's at the start; decays to 0 along a cosine.", minimum=0
    )
    abs_training_divergence_weight: float = config.setting(
        0.25,
        "Weight of the latents' divergence from the prior, beside the squared "
        "error, in training; less gives sharper decoders.",
        minimum=0,
    )
    abs_scale_images: int = config.setting(
        5_120,
        "Training images that the binary scales are fitted to.",
        minimum=_SCALE_BATCH_SIZE,
    )
    abs_scale_learning_rate: float = config.setting(
        1e-2, "Adam's, for the binary scales.", minimum=0
    )

    def __post_init__(self):
        config.validate(self)


def stages(
    model: keras.Model,
    recipe: AbsRecipe,
    train: data.Examples,
    validation: data.Examples,
    *,
    batch_size: int,
    seed,
) -> list[Stage]:
    """The stages that train a model of `models.analysis_by_synthesis`.

    Args:
        model: with the layers `encoder`, `search` and `scores`.
        recipe: lengths, rates.
        train, validation: examples.
        batch_size: images of each class per step.
        seed: int `(2,)`, of order and noise.
    """
    return [
        _autoencoder_stage(
            model,
            recipe,
            train,
            validation,
            batch_size=batch_size,
            seed=noise.fold_in(seed, 0),
        ),
        _scale_stage(model, recipe, train, seed=noise.fold_in(seed, 1)),
    ]


def by_class(examples: data.Examples) -> data.Examples:
    """Examples of one image of each class: `(n, 10, 28, 28, 1)`.

    As no weight is shared between classes, it does not matter which images
    meet. Classes of fewer images begin again.

    Raises:
        ValueError: a class has no image.
    """
    rows = [
        np.flatnonzero(examples.labels == label)
        for label in range(data.NUM_CLASSES)
    ]
    missing = [label for label, some in enumerate(rows) if not some.size]
    if missing:
        raise ValueError(
            f"ABS learns every class from images of its own, and of {missing} "
            "there are none to train on"
        )
    count = max(map(len, rows))
    together = np.stack([np.resize(some, count) for some in rows], 1)
    numbers = np.arange(count)
    return data.Examples(examples.images[together], numbers, numbers)


def _autoencoder_stage(
    model, recipe, train, validation, *, batch_size, seed
) -> Stage:
    encode, search = model.get_layer("encoder"), model.get_layer("search")
    decode, units = search.decoder, search.latent_units
    noise_seed = noise.fold_in(seed, _LATENT_NOISE)
    images = keras.Input((data.NUM_CLASSES, *data.IMAGE_SHAPE))
    codes = encode(images)
    autoencoders = keras.Model(images, [codes, decode(codes[..., :units])])

    def prepare(numbers, noisy, clean, labels):
        del noisy, labels
        shape = (tf.shape(clean)[0], data.NUM_CLASSES, units)
        pair = noise.fold_in(noise_seed, numbers[0])
        return clean, tf.random.stateless_normal(shape, pair)

    def loss(images, normal):
        """Squared error and KL divergence, summed over the classes."""
        codes = encode(images, training=True)
        means, log_variances = codes[..., :units], codes[..., units:]
        latents = means + tf.exp(log_variances / 2) * normal
        decoded = decode(latents, training=True)
        errors = tf.reduce_sum(tf.square(images - decoded), (1, 2, 3, 4))
        divergences = tf.square(means) + tf.exp(log_variances) - log_variances
        divergence = tf.reduce_sum(divergences - 1, (1, 2)) / 2
        return errors + recipe.abs_training_divergence_weight * divergence

    def validate():
        return _amortized(encode, search, validation)

    def draw():
        digits = pictures.one_of_each(validation).images
        codes = encode(digits[:, None], training=False)
        decoded = decode(codes[..., :units], training=False)
        tiles = np.concatenate([digits[:, None], decoded], axis=1)
        return {"image_reconstructions": pictures.rows(*tiles)}

    return Stage(
        name="autoencoders",
        model=autoencoders,
        prepare=prepare,
        loss=loss,
        examples=by_class(train),
        batch_size=batch_size,
        epochs=recipe.abs_epochs,
        seed=seed,
        learning_rate=recipe.abs_learning_rate,
        validate=validate,
        draw=draw,
    )


def _amortized(encode, search, validation) -> dict[str, float]:
    """The own class's bound, and the accuracy, with the encoders' latents.

    The search for the latents, which the classifier makes, takes too long for
    every epoch.
    """
    bounds = []
    for first in range(0, min(len(validation), 1_000), 200):
        images = validation.images[first : first + 200]
        codes = encode(images[:, None], training=False)
        means = codes[..., : search.latent_units]
        decoded = search.decoder(means, training=False)
        bounds.append(
            evidence_bounds(
                tf.constant(images), decoded, means, search.divergence_weight
            )
        )
    found = np.concatenate(bounds)
    labels = validation.labels[: len(found)]
    return {
        "validation/own_class_bound": float(
            found[np.arange(len(found)), labels].mean()
        ),
        "validation/encoder_accuracy": float(
            (found.argmin(1) == labels).mean()
        ),
    }


def _scale_stage(model, recipe, train, *, seed) -> Stage:
    search, scores = model.get_layer("search"), model.get_layer("scores")
    inputs = [
        keras.Input(data.IMAGE_SHAPE),
        keras.Input((data.NUM_CLASSES, *data.IMAGE_SHAPE)),
        keras.Input((data.NUM_CLASSES, search.latent_units)),
    ]
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="none"
    )

    def prepare(numbers, noisy, clean, labels):
        del numbers, noisy
        binary = tf.cast(clean >= 0.5, tf.float32)
        found = search(binary)
        bounds = evidence_bounds(
            binary,
            found["reconstructions"],
            found["latents"],
            search.divergence_weight,
        )
        return bounds, labels

    def loss(bounds, labels):
        return cross_entropy(labels, -bounds * scores.scales / _TEMPERATURE)

    return Stage(
        name="scales",
        model=keras.Model(inputs, scores(inputs)),
        prepare=prepare,
        loss=loss,
        examples=train.take(slice(recipe.abs_scale_images)),
        batch_size=_SCALE_BATCH_SIZE,
        epochs=1,
        seed=seed,
        learning_rate=recipe.abs_scale_learning_rate,
    )
