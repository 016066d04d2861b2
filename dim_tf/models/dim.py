"""DIM, its ablations and biDIM: one functional graph with switches.

    images -> (Binarize) -> denoiser -> (Binarize) -> internal models -> ratio

Sources: section 3.2 of the paper. Its appendix with the layer sizes was not at
hand, so that the sizes are ours (`flags/dim.cfg` says how they were found).
"""

import dataclasses
import math

import keras

from dim_tf import config
from dim_tf import layers
from dim_tf.data import IMAGE_SHAPE
from dim_tf.data import NUM_CLASSES

HIDDEN = ("relu", "elu", "gelu", "tanh", "softplus")
OUTPUT = ("relu", "sigmoid", "linear")


@dataclasses.dataclass(frozen=True)
class DimConfig:
    """Sizes and switches of DIM and its ablations.

    The switches, which are no flags since the model's name sets them:

    Attributes:
        denoiser: whether images pass a denoiser first.
        encoders: `NUM_CLASSES` encoders, one per internal model, or 1 that all
            decoders share (the "single-head" ablation).
        binarize: whether the input and the denoised image are binarized.
        surrogate: gradient of the binarization, see `layers.Binarize`.
    """

    denoiser: bool = True
    encoders: int = NUM_CLASSES
    binarize: bool = False
    surrogate: str = "sigmoid"
    denoiser_units: int = config.setting(
        1024, "Width of the denoiser's two hidden layers.", minimum=1
    )
    denoiser_bottleneck: int = config.setting(
        64, "Units of the denoiser's code.", minimum=1
    )
    denoiser_activation: str = config.setting(
        "elu", "Activation of the denoiser's hidden layers.", choices=HIDDEN
    )
    denoiser_output: str = config.setting(
        "sigmoid", "Activation of the denoised image.", choices=OUTPUT
    )
    internal_units: int = config.setting(
        128, "Width of each autoencoder's two hidden layers.", minimum=1
    )
    latent_units: int = config.setting(
        10, "Units of each autoencoder's code; 10 in the paper.", minimum=1
    )
    internal_activation: str = config.setting(
        "relu", "Activation of the autoencoders' hidden layers.", choices=HIDDEN
    )
    internal_output: str = config.setting(
        "relu", "Activation of the reconstructions.", choices=OUTPUT
    )

    def __post_init__(self):
        config.validate(self)
        if self.encoders not in (1, NUM_CLASSES):
            raise ValueError(
                f"encoders must be 1 or {NUM_CLASSES}, got {self.encoders!r}"
            )


def build_denoiser(sizes: DimConfig) -> keras.Model:
    """Autoencoder D of equation (1): images -> denoised images."""
    images = keras.Input(IMAGE_SHAPE, name="images")
    x = keras.layers.Flatten()(images)
    for units in (
        sizes.denoiser_units,
        sizes.denoiser_bottleneck,
        sizes.denoiser_units,
    ):
        x = keras.layers.Dense(units, sizes.denoiser_activation)(x)
    x = keras.layers.Dense(math.prod(IMAGE_SHAPE), sizes.denoiser_output)(x)
    denoised = keras.layers.Reshape(IMAGE_SHAPE)(x)
    return keras.Model(images, denoised, name="denoiser")


def build_internal_models(sizes: DimConfig) -> keras.Model:
    """The ten autoencoders F_i of equation (2) as one stack on a class axis.

    Input: images `(batch, 28, 28, 1)`. Outputs: `latents (batch, encoders,
    latent_units)` and `reconstructions (batch, 10, 28, 28, 1)`.
    """
    images = keras.Input(IMAGE_SHAPE, name="images")
    pixels = math.prod(IMAGE_SHAPE)
    hidden = sizes.internal_activation

    def dense(units, count, activation, name):
        return layers.ParallelDense(units, count, activation, name=name)

    x = keras.layers.Reshape((1, pixels))(images)
    x = dense(sizes.internal_units, sizes.encoders, hidden, "encoder")(x)
    latents = dense(sizes.latent_units, sizes.encoders, None, "latents")(x)
    x = dense(sizes.internal_units, NUM_CLASSES, hidden, "decoder")(latents)
    x = dense(pixels, NUM_CLASSES, sizes.internal_output, "output")(x)
    shape = (NUM_CLASSES, *IMAGE_SHAPE)
    reconstructions = keras.layers.Reshape(shape, name="reconstructions")(x)
    return keras.Model(
        images,
        {"latents": latents, "reconstructions": reconstructions},
        name="internal_models",
    )


def build(sizes: DimConfig) -> keras.Model:
    """DIM as a multi-output model: images -> dict of its stages.

    Outputs: `denoised (batch, 28, 28, 1)`, `latents (batch, encoders, units)`,
    `reconstructions (batch, 10, 28, 28, 1)` and `scores (batch, 10)`, the
    relative intensities of equation (3). Without a denoiser, `denoised` is
    the image that the internal models see.
    """
    images = keras.Input(IMAGE_SHAPE, name="images")

    def binarize(x, name):
        if not sizes.binarize:
            return x
        return layers.Binarize(sizes.surrogate, name=name)(x)

    denoised = binarize(images, "binarize_images")
    if sizes.denoiser:
        denoised = build_denoiser(sizes)(denoised)
        denoised = binarize(denoised, "binarize_denoised")
    outputs = build_internal_models(sizes)(denoised)
    ratio = layers.IntensityRatio(name="scores")
    scores = ratio([outputs["reconstructions"], denoised])
    return keras.Model(
        images, {"denoised": denoised, **outputs, "scores": scores}, name="dim"
    )
