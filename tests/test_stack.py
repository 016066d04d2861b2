"""Equal networks with weights of their own, as one."""

import keras
import numpy as np
import pytest
from linear_decoders import linear_decoder

from dim_tf import layers


def test_stack_is_its_copies_side_by_side(generator):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, 2)(inputs)
    x = keras.layers.BatchNormalization()(x)
    template = keras.Model(inputs, keras.layers.Flatten()(x))
    stack = layers.Stack(template, 4)
    images = generator.normal(size=(5, 4, 6, 6, 2)).astype(np.float32)
    stack.build(images.shape)
    weights = [generator.uniform(0.5, 1, w.shape) for w in stack.weights]
    stack.set_weights(weights)
    outputs = stack(images)
    trained = stack(images, training=True).numpy()
    after = stack.get_weights()
    for copy in range(4):
        single = keras.models.clone_model(template)
        single.set_weights([weight[copy] for weight in weights])
        np.testing.assert_allclose(
            outputs[:, copy], single(images[:, copy]), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            trained[:, copy],
            single(images[:, copy], training=True),
            rtol=1e-5,
            atol=1e-6,
        )
        for mine, whole in zip(single.get_weights(), after, strict=True):
            np.testing.assert_allclose(whole[copy], mine, rtol=1e-5, atol=1e-7)


def test_stack_with_a_shared_input(generator):
    decoder, matrices = linear_decoder(generator)
    latents = generator.normal(size=(5, 1, 3)).astype(np.float32)
    expected = np.einsum("bcu,kup->bkp", latents, matrices)
    np.testing.assert_allclose(
        decoder(latents).numpy().reshape(5, 2, 16), expected, rtol=1e-4
    )


def test_stack_refuses_other_shapes(generator):
    decoder, _ = linear_decoder(generator)
    fresh = layers.Stack.from_config(decoder.get_config())
    with pytest.raises(ValueError, match=r"\(batch, 2 or 1, .*received .*3, 3"):
        fresh.build((None, 3, 3))
