"""A cheaper search of the latents of ABS, for attacks to run on.

Its steps are Gauss-Newton's, with what they need of the decoder known ahead.
"""

import keras
import tensorflow as tf

from dim_tf.models import latent_search

# Keeps the step finite where a decoder answers the same to all latents.
_DAMPING = 1e-3


@keras.saving.register_keras_serializable("dim_tf")
class TangentSearch(latent_search.LatentSearch):
    """A `LatentSearch` along tangents of the decoder, in few steps.

    From the best sample of the prior, every step goes to the minimum of the
    evidence bound as it would be if the decoder were linear, with the tangents
    at that sample; a step that does not improve the bound is not taken. The
    tangents, `samples * classes * latent_units` images, are made once for a
    decoder: a step then costs one decoding, where one of Adam costs three.

    Arguments, input and output are those of `LatentSearch`, but that
    `learning_rate` counts for nothing.
    """

    def __init__(self, decoder, **kwargs):
        super().__init__(decoder, **kwargs)
        classes, kept, pixels = self._decodings.shape
        units = self.latent_units
        self._tangents = latent_search.derived((classes, kept, units, pixels))
        self._inverses = latent_search.derived((classes, kept, units, units))

    def build(self, input_shape):
        super().build(input_shape)
        latents = tf.TensorSpec(
            (None, self.classes, self.latent_units), tf.float32
        )
        # Traced here, as nothing is differentiated where it will be called:
        # `init_scope` stops all recording.
        self._tangents_along = tf.function(
            self._derivatives
        ).get_concrete_function(latents, latents)

    def _derive(self):
        super()._derive()
        identity = tf.eye(self.latent_units)
        damping = self.divergence_weight / 2 + _DAMPING
        tangents, inverses = [], []
        for latents in self._prior_batches():
            along = [
                self._tangents_along(latents, tf.zeros_like(latents) + unit)
                for unit in identity
            ]
            found = tf.transpose(tf.stack(along, 2), (1, 0, 2, 3))
            curvatures = tf.matmul(found, found, transpose_b=True)
            tangents.append(found)
            inverses.append(tf.linalg.inv(curvatures + damping * identity))
        self._tangents.assign(tf.concat(tangents, 1))
        self._inverses.assign(tf.concat(inverses, 1))

    def _derivatives(self, latents, directions):
        """`(n, classes, pixels)`, at latents `(n, classes, units)`."""
        with tf.autodiff.ForwardAccumulator(latents, directions) as forward:
            decoded = self._flat(self.decoder(latents, training=False))
            return forward.jvp(decoded)

    def _search(self, images):
        best = self._best_samples(images)
        latents = tf.gather(self._prior, best)
        shape = (-1, self.classes, *self.decoder.copy_output_shape)
        decoded = tf.reshape(self._of_samples(self._decodings, best), shape)
        bounds = self._bounds(images, decoded, latents)
        tangents = self._of_samples(self._tangents, best)
        inverses = self._of_samples(self._inverses, best)
        for _ in range(self.steps):
            errors = self._flat(images[:, None] - decoded)
            slopes = tf.linalg.matvec(tangents, errors)
            slopes -= self.divergence_weight / 2 * latents
            step = tf.linalg.matvec(inverses, slopes)
            tried = tf.clip_by_norm(latents + step, self.radius, axes=[2])
            tried_decoded = self.decoder(tried, training=False)
            tried_bounds = self._bounds(images, tried_decoded, tried)
            better = tried_bounds < bounds
            latents = tf.where(better[..., None], tried, latents)
            wide = better[..., None, None, None]
            decoded = tf.where(wide, tried_decoded, decoded)
            bounds = tf.where(better, tried_bounds, bounds)
        return latents, decoded

    def _of_samples(self, values, best):
        """Rows of `(classes, samples, ...)` for best `(batch, classes)`."""
        classes = tf.broadcast_to(tf.range(self.classes), tf.shape(best))
        # Of a variable that was ever gathered from, TensorFlow makes a copy
        # whenever it is read; of the tensor in it, it does not.
        values = tf.convert_to_tensor(values)
        return tf.gather_nd(values, tf.stack((classes, best), 2))

    def _bounds(self, images, decoded, latents):
        return latent_search.evidence_bounds(
            images, decoded, latents, self.divergence_weight
        )
