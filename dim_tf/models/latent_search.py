"""Layers of analysis by synthesis: what explains an image best, class by class.

Source: Schott et al., "Towards the first adversarially robust neural network
model on MNIST" (ICLR 2019), section 3.
"""

import math

import keras
import numpy as np
import tensorflow as tf

_DECODED_AT_ONCE = 200
_MEAN_DECAY, _SQUARE_DECAY, _ADAM_EPSILON = 0.9, 0.999, 1e-8
# What a search is made from beside its decoder.
SETTINGS = (
    "samples",
    "steps",
    "learning_rate",
    "radius",
    "divergence_weight",
    "seed",
)
# Of the prior samples, the share that is likely enough to be looked at.
_LIKELY = 0.9


def evidence_bounds(images, reconstructions, latents, divergence_weight):
    """`|x - G(z)|_2^2 + w |z|_2^2 / 2`: less is a better explanation.

    Args:
        images: float32 `(batch, h, w, 1)`.
        reconstructions: float32 `(batch, classes, h, w, 1)`.
        latents: float32 `(batch, classes, latent_units)`.
        divergence_weight: `w`.

    Returns:
        float32 `(batch, classes)`, non-negative: w times the negative
        variational bound of log p(x), up to a constant, for pixels of variance
        w / 2 about their reconstruction.
    """
    changes = images[:, None] - reconstructions
    errors = tf.reduce_sum(tf.square(changes), (2, 3, 4))
    sizes = tf.reduce_sum(tf.square(latents), 2)
    return errors + divergence_weight / 2 * sizes


def derived(shape) -> tf.Variable:
    """State that is made from weights, and is none."""
    return tf.Variable(tf.zeros(shape), trainable=False)


@keras.saving.register_keras_serializable("dim_tf")
class LatentSearch(keras.layers.Layer):
    """The latents whose decoding explains an image best, for every class.

    The best of many samples of the prior is refined by Adam, within a ball.
    Nothing of the search is differentiated: at a minimum over the latents, the
    gradient of the bound by the image is its partial derivative there (the
    envelope theorem), which is exact, and cheap.

    Decodings of the samples are no weights: they are made from the decoder's
    when the layer is first called, or traced, with other weights than before.
    A graph that was traced before, be it of `metrics.outputs` or of an attack,
    does not see that they changed: load such a model anew.

    Args:
        decoder: `layers.Stack` of the classes' decoders, `(latent_units,)` ->
            `(h, w, 1)`.
        samples: drawn from the prior; the least likely tenth is left out.
        steps: of Adam; 0: only the samples.
        learning_rate: Adam's, in units of the prior's standard deviation.
        radius: of the ball that holds the latents.
        divergence_weight: of the latents' own term, see `evidence_bounds`.
        seed: of the samples.

    Input: images `(batch, h, w, 1)`.
    Output: `{"latents": (batch, classes, latent_units), "reconstructions":
        (batch, classes, h, w, 1)}`, without gradients.
    """

    def __init__(
        self,
        decoder,
        samples=8_000,
        steps=50,
        learning_rate=0.05,
        radius=5.0,
        divergence_weight=1.0,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.decoder = decoder
        self.samples = samples
        self.steps = steps
        self.learning_rate = learning_rate
        self.radius = radius
        self.divergence_weight = divergence_weight
        self.seed = seed
        self.classes = decoder.count
        (self.latent_units,) = decoder.copy_input_shape
        normal = np.random.default_rng(seed).standard_normal(
            (samples, self.latent_units), np.float32
        )
        kept = max(1, round(_LIKELY * samples))
        likely_first = np.argsort(np.square(normal).sum(1), kind="stable")
        likely = normal[np.sort(likely_first[:kept])]
        sizes = np.linalg.norm(likely, axis=1, keepdims=True)
        self._prior = likely * np.minimum(1.0, radius / sizes, dtype=np.float32)
        self._pixels = math.prod(decoder.copy_output_shape)
        self._decodings = derived((self.classes, kept, self._pixels))
        self._offsets = derived((self.classes, kept))
        self._decoded_with: list[np.ndarray] | None = None
        self._compiled_search = tf.function(self._search)

    def build(self, input_shape):
        del input_shape
        if not self.decoder.built:
            self.decoder.build((None, self.classes, self.latent_units))

    def call(self, images):
        with tf.init_scope():
            self._refresh()
        found = self._compiled_search(tf.stop_gradient(images))
        latents, reconstructions = map(tf.stop_gradient, found)
        return {"latents": latents, "reconstructions": reconstructions}

    def _refresh(self):
        """Derives anew what is kept of the decoder, if that has changed."""
        weights = [value.numpy() for value in self.decoder.weights]
        known = self._decoded_with
        if known is not None and all(map(np.array_equal, weights, known)):
            return
        # Unless all of it can be derived, none of it is up to date.
        self._decoded_with = None
        self._derive()
        self._decoded_with = weights

    def _derive(self):
        """Decodes the samples of the prior."""
        decode = tf.function(
            lambda latents: self._flat(self.decoder(latents, training=False))
        )
        decodings = [decode(latents) for latents in self._prior_batches()]
        # Assigned whole: of a variable that was assigned slice by slice,
        # TensorFlow makes a copy whenever it is read.
        self._decodings.assign(tf.transpose(tf.concat(decodings, 0), (1, 0, 2)))
        sizes = tf.reduce_sum(tf.square(self._prior), 1)
        self._offsets.assign(
            tf.reduce_sum(tf.square(self._decodings), 2)
            + self.divergence_weight / 2 * sizes
        )

    def _prior_batches(self):
        """The samples in parts, `(n, classes, latent_units)`."""
        for first in range(0, len(self._prior), _DECODED_AT_ONCE):
            some = self._prior[first : first + _DECODED_AT_ONCE]
            yield tf.constant(np.repeat(some[:, None], self.classes, 1))

    def _flat(self, images):
        """Images of every class as `(batch, classes, pixels)`."""
        return tf.reshape(images, (-1, self.classes, self._pixels))

    def _search(self, images):
        """Latents and reconstructions that explain images."""
        latents = tf.gather(self._prior, self._best_samples(images))
        latents = self._descend(images, latents)
        return latents, self.decoder(latents, training=False)

    def _best_samples(self, images):
        """Rows of the samples that explain images best, `(batch, classes)`."""
        flat = tf.reshape(images, (tf.shape(images)[0], -1))
        # Without |x|_2^2, which all samples share.
        products = tf.matmul(flat[None], self._decodings, transpose_b=True)
        bounds = self._offsets[:, None] - 2 * products
        return tf.transpose(tf.argmin(bounds, 2, tf.int32))

    def _descend(self, images, latents):
        def descend(step, latents, means, squares):
            with tf.GradientTape() as tape:
                tape.watch(latents)
                bounds = evidence_bounds(
                    images,
                    self.decoder(latents, training=False),
                    latents,
                    self.divergence_weight,
                )
            gradients = tape.gradient(bounds, latents)
            means += (1 - _MEAN_DECAY) * (gradients - means)
            squares += (1 - _SQUARE_DECAY) * (tf.square(gradients) - squares)
            time = tf.cast(step + 1, tf.float32)
            mean = means / (1 - _MEAN_DECAY**time)
            square = squares / (1 - _SQUARE_DECAY**time)
            latents -= (
                self.learning_rate * mean / (tf.sqrt(square) + _ADAM_EPSILON)
            )
            latents = tf.clip_by_norm(latents, self.radius, axes=[2])
            return step + 1, latents, means, squares

        zeros = tf.zeros_like(latents)
        return tf.while_loop(
            lambda step, *_: step < self.steps,
            descend,
            (0, latents, zeros, zeros),
            maximum_iterations=self.steps,
        )[1]

    def compute_output_spec(self, images):
        def described(shape):
            batch = images.shape[0]
            return keras.KerasTensor(
                (batch, self.classes, *shape), self.compute_dtype
            )

        return {
            "latents": described(self.decoder.copy_input_shape),
            "reconstructions": described(self.decoder.copy_output_shape),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            **{name: getattr(self, name) for name in SETTINGS},
        }

    @classmethod
    def from_config(cls, config):
        decoder = keras.saving.deserialize_keras_object(config["decoder"])
        return cls(**{**config, "decoder": decoder})


@keras.saving.register_keras_serializable("dim_tf")
class EvidenceScores(keras.layers.Layer):
    """Scores of the classes: their negative evidence bounds.

    Args:
        scaled: whether each class's bound is multiplied by its own scale,
            which the binary variant needs: binarized strokes cost one class
            more than another.
        divergence_weight: see `evidence_bounds`.

    Input: `[images (batch, h, w, 1), reconstructions (batch, classes, h, w,
        1), latents (batch, classes, latent_units)]`.
    Output shape: `(batch, classes)`.
    """

    def __init__(self, scaled=False, divergence_weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scaled = scaled
        self.divergence_weight = divergence_weight

    def build(self, input_shape):
        self.scales = self.add_weight(
            shape=(input_shape[1][1],), initializer="ones", name="scales"
        )

    def call(self, inputs):
        images, reconstructions, latents = inputs
        scores = -evidence_bounds(
            images, reconstructions, latents, self.divergence_weight
        )
        return scores * self.scales if self.scaled else scores

    def compute_output_shape(self, input_shape):
        return input_shape[1][:2]

    def get_config(self):
        return {
            **super().get_config(),
            "scaled": self.scaled,
            "divergence_weight": self.divergence_weight,
        }
