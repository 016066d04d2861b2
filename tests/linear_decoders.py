"""Decoders whose best latents can be written down."""

import keras
import numpy as np

from dim_tf import layers


def linear_decoder(generator, classes=2, units=3):
    """A stack of decoders `latents -> matrix @ latents`, 4 x 4 pixels."""
    latents = keras.Input((units,))
    flat = keras.layers.Dense(16, use_bias=False)(latents)
    template = keras.Model(latents, keras.layers.Reshape((4, 4, 1))(flat))
    decoder = layers.Stack(template, classes)
    decoder.build((None, classes, units))
    matrices = generator.normal(size=(classes, units, 16)).astype(np.float32)
    decoder.set_weights([matrices])
    return decoder, matrices
