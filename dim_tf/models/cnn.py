"""The plain convolutional network that the paper uses as its baseline.

Source: the vanilla CNN of Schott et al., "Towards the first adversarially
robust neural network model on MNIST" (ICLR 2019), appendix.
"""

import dataclasses

import keras

from dim_tf import data
from dim_tf import layers

_FEATURE_MAPS = (20, 70, 256, data.NUM_CLASSES)
_KERNEL_SIZES = (5, 4, 3, 5)
_STRIDES = (1, 2, 2, 1)


@dataclasses.dataclass(frozen=True)
class CnnConfig:
    """Architecture of the CNN; `binarize` and `surrogate` as in `DimConfig`."""

    binarize: bool = False
    surrogate: str = "sigmoid"


def build(sizes: CnnConfig) -> keras.Model:
    """CNN: images `(batch, 28, 28, 1)` -> `{"scores": logits (batch, 10)}`."""
    images = keras.Input(data.IMAGE_SHAPE, name="images")
    x = images
    if sizes.binarize:
        x = layers.Binarize(sizes.surrogate, name="binarize_images")(x)
    hidden = zip(
        _FEATURE_MAPS[:-1], _KERNEL_SIZES[:-1], _STRIDES[:-1], strict=True
    )
    for filters, kernel_size, strides in hidden:
        x = keras.layers.Conv2D(filters, kernel_size, strides)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ELU()(x)
    # Without padding the feature maps are 28, 24, 11, 5 wide: the last kernel
    # covers the whole map and gives one logit per class.
    x = keras.layers.Conv2D(_FEATURE_MAPS[-1], _KERNEL_SIZES[-1], _STRIDES[-1])(
        x
    )
    scores = keras.layers.Flatten(name="scores")(x)
    return keras.Model(images, {"scores": scores}, name="cnn")
