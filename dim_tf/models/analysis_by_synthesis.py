"""Analysis by synthesis (ABS), a rival of DIM in the paper.

    images -> (Binarize) -> search for the latents of every class -> bounds

One variational autoencoder per class; the class whose decoder explains an
image best wins. Source: Schott et al., "Towards the first adversarially robust
neural network model on MNIST" (ICLR 2019), section 3 and its appendix.
"""

import dataclasses

import keras

from dim_tf import config
from dim_tf import layers
from dim_tf.caching import kept_with_model
from dim_tf.data import IMAGE_SHAPE
from dim_tf.data import NUM_CLASSES
from dim_tf.models import latent_search
from dim_tf.models import tangent_search

_ENCODER_MAPS = (32, 32, 64)
_ENCODER_KERNELS = (5, 4, 3, 5)
_DECODER_MAPS = (32, 16, 16)
_DECODER_KERNELS = (4, 5, 5, 4)
_STRIDES = (1, 2, 2, 1)
# Of the cheaper search that attacks run on.
SEARCH_VIEW = {"samples": 2_000, "steps": 1}


@dataclasses.dataclass(frozen=True)
class AbsConfig:
    """Sizes of ABS; `binarize` and `surrogate` as in `DimConfig`."""

    binarize: bool = False
    surrogate: str = "sigmoid"
    abs_latent_units: int = config.setting(
        8, "Units of each autoencoder's code.", minimum=1
    )
    abs_width: float = config.setting(
        1.0, "Factor of all feature maps of the published networks.", minimum=0
    )
    abs_samples: int = config.setting(
        8_000,
        "Samples of the prior that the search starts from.",
        minimum=1,
        in_weights=False,
    )
    abs_steps: int = config.setting(
        50,
        "Steps of Adam, which refine the best sample.",
        minimum=0,
        in_weights=False,
    )
    abs_step_size: float = config.setting(
        0.05,
        "Adam's learning rate in the search.",
        minimum=0,
        in_weights=False,
    )
    abs_radius: float = config.setting(
        5.0,
        "Radius of the ball that holds the latents.",
        minimum=0,
        in_weights=False,
    )
    abs_divergence_weight: float = config.setting(
        1.0,
        "Weight of the latents' divergence from the prior in the search.",
        minimum=0,
        in_weights=False,
    )

    def __post_init__(self):
        config.validate(self)

    def feature_maps(self, published: int) -> int:
        """Of a layer, for their number in the published network."""
        return max(1, round(self.abs_width * published))


def build(sizes: AbsConfig) -> keras.Model:
    """ABS as a multi-output model: images -> dict.

    Outputs: `latents (batch, 10, latent_units)` that explain the image best,
    `reconstructions (batch, 10, 28, 28, 1)` from them, `scores (batch, 10)`,
    the negative evidence bounds, and `encoded (batch, 10, latent_units)`, the
    encoders' guess at the latents, which is needed for training alone.
    """
    images = keras.Input(IMAGE_SHAPE, name="images")
    seen = images
    if sizes.binarize:
        seen = layers.Binarize(sizes.surrogate, name="binarize_images")(images)
    encode = layers.Stack(_encoder(sizes), NUM_CLASSES, name="encoder")
    codes = encode(keras.ops.expand_dims(seen, 1))
    search = latent_search.LatentSearch(
        layers.Stack(_decoder(sizes), NUM_CLASSES, name="decoder"),
        samples=sizes.abs_samples,
        steps=sizes.abs_steps,
        learning_rate=sizes.abs_step_size,
        radius=sizes.abs_radius,
        divergence_weight=sizes.abs_divergence_weight,
        name="search",
    )
    found = search(seen)
    scores = latent_search.EvidenceScores(
        sizes.binarize, sizes.abs_divergence_weight, name="scores"
    )([seen, found["reconstructions"], found["latents"]])
    encoded = codes[..., : sizes.abs_latent_units]
    outputs = {**found, "encoded": encoded, "scores": scores}
    return keras.Model(images, outputs, name="abs")


@kept_with_model  # as attacks compile for a model
def search_view(model: keras.Model, **settings: int) -> keras.Model:
    """ABS with a `TangentSearch` in place of its search, and the same weights.

    Args:
        model: made by `build`.
        **settings: of the search, such as `SEARCH_VIEW`.
    """

    def replaced(layer):
        if not isinstance(layer, latent_search.LatentSearch):
            return layer
        found = {name: getattr(layer, name) for name in latent_search.SETTINGS}
        return tangent_search.TangentSearch(
            layer.decoder, name=layer.name, **{**found, **settings}
        )

    return keras.models.clone_model(model, clone_function=replaced)


def _encoder(sizes) -> keras.Model:
    """One class: image -> means, then log variances, of its latents."""
    images = x = keras.Input(IMAGE_SHAPE)
    hidden = zip(_ENCODER_MAPS, _ENCODER_KERNELS, _STRIDES, strict=False)
    for maps, kernel_size, strides in hidden:
        filters = sizes.feature_maps(maps)
        x = _hidden(keras.layers.Conv2D(filters, kernel_size, strides)(x))
    # Without padding the feature maps are 28, 24, 11, 5 and 1 wide.
    units = 2 * sizes.abs_latent_units
    x = keras.layers.Conv2D(units, _ENCODER_KERNELS[-1], _STRIDES[-1])(x)
    return keras.Model(images, keras.layers.Flatten()(x))


def _decoder(sizes) -> keras.Model:
    """One class: latents -> image."""
    latents = keras.Input((sizes.abs_latent_units,))
    x = keras.layers.Reshape((1, 1, sizes.abs_latent_units))(latents)
    layer = keras.layers.Conv2DTranspose
    hidden = zip(_DECODER_MAPS, _DECODER_KERNELS, _STRIDES, strict=False)
    for maps, kernel_size, strides in hidden:
        x = _hidden(layer(sizes.feature_maps(maps), kernel_size, strides)(x))
    # 1, 4, 11, 25 and 28 wide.
    output = layer(1, _DECODER_KERNELS[-1], _STRIDES[-1], activation="sigmoid")
    return keras.Model(latents, output(x))


def _hidden(x):
    return keras.layers.ELU()(keras.layers.BatchNormalization()(x))
