"""The network of adversarial training on MNIST, a rival of DIM in the paper.

Source: Madry et al., "Towards deep learning models resistant to adversarial
attacks" (ICLR 2018), and the network of its public MNIST challenge.
"""

import dataclasses

import keras

from dim_tf import config
from dim_tf import data

_KERNEL_SIZE = 5


@dataclasses.dataclass(frozen=True)
class MadryConfig:
    """Architecture of the challenge's network."""

    first_feature_maps: int = config.setting(
        32, "Feature maps of the first convolution.", minimum=1
    )
    second_feature_maps: int = config.setting(
        64, "Feature maps of the second convolution.", minimum=1
    )
    dense_units: int = config.setting(
        1024, "Units of the hidden dense layer.", minimum=1
    )

    def __post_init__(self):
        config.validate(self)


def build(sizes: MadryConfig) -> keras.Model:
    """Images `(batch, 28, 28, 1)` -> `{"scores": logits (batch, 10)}`."""
    images = keras.Input(data.IMAGE_SHAPE, name="images")
    x = images
    for filters in (sizes.first_feature_maps, sizes.second_feature_maps):
        x = keras.layers.Conv2D(filters, _KERNEL_SIZE, padding="same")(x)
        # Pooled first, a quarter is left to rectify, to the same values.
        x = keras.layers.ReLU()(keras.layers.MaxPooling2D()(x))
    x = keras.layers.Dense(sizes.dense_units, "relu")(keras.layers.Flatten()(x))
    scores = keras.layers.Dense(data.NUM_CLASSES, name="scores")(x)
    return keras.Model(images, {"scores": scores}, name="madry")
