"""foolbox's Pointwise attack, on NumPy, as it does not run on TensorFlow."""

import foolbox
import tensorflow as tf


class PointwiseAttack(foolbox.attacks.PointwiseAttack):  # type: ignore[misc]
    """foolbox's of this name: it holds NumPy arrays, the model is compiled.

    The bisection of the pixels that are left, which takes most of its time and
    cannot lower their number, is left out, as in ours.
    """

    distance = foolbox.distances.l0

    def __init__(self):
        super().__init__(l2_binary_search=False)

    def __call__(  # type: ignore[misc]
        self, model, inputs, criterion, *, epsilons, **kwargs
    ):
        compiled = tf.function(model)
        on_numpy = foolbox.models.NumPyModel(
            lambda images: compiled(tf.constant(images)).numpy(), model.bounds
        )
        return super().__call__(
            on_numpy,
            inputs.numpy(),
            criterion.numpy(),
            epsilons=epsilons,
            **{name: value.numpy() for name, value in kwargs.items()},
        )
