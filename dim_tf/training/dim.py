"""Training DIM and its ablations in two stages, section 3.2 of the paper."""

import dataclasses
import math

import keras
import tensorflow as tf

from dim_tf import config
from dim_tf import data
from dim_tf import metrics
from dim_tf import noise
from dim_tf import pictures
from dim_tf.training.loop import Stage

# Parts of a stage's seed, beside the two that `data.training_batches` takes.
_VALIDATION_NOISE, _INTERNAL_NOISE = 2, 3

_NOISE_HELP = (
    "Comma-separated kind:strength or kind:low..high, the strength being drawn "
    f"for each image. Kinds: {', '.join(noise.NOISES)}."
)


@dataclasses.dataclass(frozen=True)
class DimRecipe:
    """How the denoiser and the internal models are trained."""

    denoiser_noise: str = config.setting(
        "gaussian:0..0.7,salt_and_pepper:0..0.4",
        f"Noise on the denoiser's inputs. {_NOISE_HELP}",
    )
    denoiser_epochs: int = config.setting(
        28, "Passes over the training images for the denoiser.", minimum=1
    )
    denoiser_learning_rate: float = config.setting(
        2e-3, "Adam's at the start; decays to 0 along a cosine.", minimum=0
    )
    internal_noise: str = config.setting(
        "gaussian:0..0.5",
        f"Noise on the internal models' inputs. {_NOISE_HELP}",
    )
    internal_epochs: int = config.setting(
        30,
        "Passes over the training images for the internal models.",
        minimum=1,
    )
    internal_learning_rate: float = config.setting(
        2e-3, "Adam's at the start; decays to 0 along a cosine.", minimum=0
    )
    own_class_weight: float = config.setting(
        1.0,
        "Weight of an autoencoder's own class in its loss; 1 is equation (2), "
        "and 9 makes up for the nine times as many images of other classes.",
        minimum=0,
    )

    def __post_init__(self):
        config.validate(self)
        for text in (self.denoiser_noise, self.internal_noise):
            noise.parse_noise(text)


def stages(
    model: keras.Model,
    recipe: DimRecipe,
    train: data.Examples,
    validation: data.Examples,
    *,
    batch_size: int,
    seed,
) -> list[Stage]:
    """The stages that train a model of `models.dim`: denoiser, then the rest.

    Args:
        model: multi-output model with a layer `internal_models` and, unless
            it is an ablation without one, a layer `denoiser`.
        recipe: noise, lengths, rates.
        train, validation: examples.
        batch_size: images per step.
        seed: int `(2,)`, of order and noise.
    """
    parts = {layer.name: layer for layer in model.layers}
    denoiser = parts.get("denoiser")
    common = {
        "train": train,
        "validation": validation,
        "batch_size": batch_size,
    }
    last = _internal_stage(
        model, denoiser, recipe, seed=noise.fold_in(seed, 1), **common
    )
    if denoiser is None:
        return [last]
    first = _denoiser_stage(
        denoiser, recipe, seed=noise.fold_in(seed, 0), **common
    )
    return [first, last]


def _denoiser_stage(
    denoiser, recipe, *, train, validation, batch_size, seed
) -> Stage:
    noises = noise.parse_noise(recipe.denoiser_noise)

    def prepare(numbers, noisy, clean, labels):
        del numbers, labels
        return noisy, clean

    def loss(noisy, clean):
        """Equation (1): |x - D(x + noise)|_2^2."""
        return _squared_error(denoiser(noisy, training=True), clean)

    noisy_validation = noise.corrupt(
        validation.images, noises, noise.fold_in(seed, _VALIDATION_NOISE)
    )

    def validate():
        denoised = metrics.outputs(denoiser, noisy_validation)
        error = _squared_error(denoised, validation.images)
        return {"validation/loss": float(tf.reduce_mean(error))}

    def draw():
        noisy = noisy_validation[: pictures.NUM_EXAMPLES]
        clean = validation.images[: pictures.NUM_EXAMPLES]
        return {
            "clean_noisy_denoised": pictures.rows(
                clean, noisy, denoiser(noisy, training=False)
            )
        }

    return Stage(
        name="denoiser",
        model=denoiser,
        prepare=prepare,
        loss=loss,
        examples=train,
        batch_size=batch_size,
        epochs=recipe.denoiser_epochs,
        seed=seed,
        learning_rate=recipe.denoiser_learning_rate,
        noises=noises,
        jit_compile=True,
        validate=validate,
        draw=draw,
    )


def internal_loss(reconstructions, targets, labels, own_class_weight: float):
    """Equation (2), averaged over the ten internal models.

    Model i is to return its input for an image of class i and black for any
    other (the paper's "I_i(x) = 0 if x belongs to category i" is a misprint
    for 1); an own-class image weighs `own_class_weight`.

    Args:
        reconstructions: float32 `(batch, 10, 28, 28, 1)`.
        targets: float32 `(batch, 28, 28, 1)`, what to reconstruct.
        labels: int64 `(batch,)`.
        own_class_weight: float.

    Returns:
        float32 `(batch,)`, the mean weighted by the ten weights.
    """
    own = tf.one_hot(labels, data.NUM_CLASSES)
    pixels = math.prod(data.IMAGE_SHAPE)
    flat = tf.reshape(reconstructions, (-1, data.NUM_CLASSES, pixels))
    # As the stack computes them: nothing large is moved about.
    by_class = tf.transpose(flat, (1, 0, 2))
    wanted = tf.reshape(targets, (-1, pixels)) * tf.transpose(own)[:, :, None]
    errors = tf.transpose(tf.reduce_sum(tf.square(by_class - wanted), 2))
    weights = own * own_class_weight + (1.0 - own)
    return tf.reduce_sum(weights * errors, 1) / tf.reduce_sum(weights, 1)


def _internal_stage(
    model, denoiser, recipe, *, train, validation, batch_size, seed
) -> Stage:
    internal_models = model.get_layer("internal_models")
    noises = noise.parse_noise(recipe.internal_noise)
    noise_seed = noise.fold_in(seed, _INTERNAL_NOISE)

    def prepare(numbers, noisy, clean, labels):
        del noisy
        images = clean if denoiser is None else denoiser(clean, training=False)
        # Each replica has other numbers, and so other noise.
        inputs = noise.corrupt(
            images, noises, noise.fold_in(noise_seed, numbers[0])
        )
        return inputs, images, labels

    def loss(inputs, images, labels):
        outputs = internal_models(inputs, training=True)
        return internal_loss(
            outputs["reconstructions"], images, labels, recipe.own_class_weight
        )

    return Stage(
        name="internal_models",
        model=internal_models,
        prepare=prepare,
        loss=loss,
        examples=train,
        batch_size=batch_size,
        epochs=recipe.internal_epochs,
        seed=seed,
        learning_rate=recipe.internal_learning_rate,
        jit_compile=True,
        validate=lambda: metrics.validation_scalars(model, validation),
        draw=lambda: pictures.of_outputs(model, validation),
    )


def _squared_error(images, targets):
    """|images - targets|_2^2 per image: `(batch, 28, 28, 1)` -> `(batch,)`."""
    return tf.reduce_sum(tf.square(images - targets), (1, 2, 3))
