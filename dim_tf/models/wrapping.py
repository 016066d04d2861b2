"""Any classifier of images as one of images in [0, 1] to scores."""

import dataclasses
import functools
import re
from collections.abc import Callable

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Reading:
    """What files do not say of a model.

    Attributes:
        bounds: what it takes for black and for white.
        signature: of a SavedModel: one with a single input.
        probabilities: whether it gives probabilities; attacks get their
            logarithms, which are logits. Where a Keras model plainly ends
            with a softmax, they are exact; else those of what is (nearly)
            zero are cut off.
        scores: name of the output with the scores, of several; empty: the only
            one, or that of this name.

    Raises:
        ValueError: the bounds do not ascend, or are not finite.
    """

    bounds: tuple[float, float] = (0.0, 1.0)
    signature: str = "serving_default"
    probabilities: bool = False
    # Digests are of how it was written before there was this.
    scores: str = dataclasses.field(default="", repr=False)

    def __post_init__(self):
        low, high = map(float, self.bounds)
        if not -np.inf < low < high < np.inf:
            raise ValueError(
                f"bounds must be ascending and finite, got {self.bounds}"
            )
        # Equal ones are to have one digest.
        object.__setattr__(self, "bounds", (low, high))


PLAIN = Reading()


class Function(keras.layers.Layer):
    """A function of images as a layer, whatever it computes with.

    Args:
        function: float32 images -> scores.
    """

    def __init__(self, function: Callable):
        super().__init__(dtype="float32")
        self.function = function

    def call(self, images):
        return self.function(images)


def wrap(
    inner: Callable,
    shape: tuple[int | None, ...],
    reading: Reading = PLAIN,
    name: str = "model",
    source: str = "",
) -> keras.Model:
    """Makes a classifier of images one that attacks know.

    Args:
        inner: a Keras model or layer, or any function of TensorFlow: images
            `(batch, height, width, channels)` or `(batch, height, width)`
            within the bounds of its reading -> scores `(batch, classes)`. It
            is left as it is, but built, if it was never called.
        shape: of an image that it takes.
        reading: of it.
        name: of the new model.
        source: what messages call it; empty: its name.

    Returns:
        Keras model, images `(batch, height, width, channels)` in [0, 1] ->
        `{"scores": (batch, classes)}`; beside them `probabilities`, where the
        scores are their logarithms. It shares its weights with `inner`, but
        for those of a last layer that is copied without its softmax.

    Raises:
        ValueError: not of images to scores; says what it is.
    """
    source = source or f"the model {name!r}"
    _check_shape(shape, source)
    _check_type(inner, source)
    if not callable(inner):
        raise ValueError(
            f"{source} must be a Keras model or a function of TensorFlow, got "
            f"{inner!r}; files are for `python -m dim_tf.evaluate --models=...`"
        )
    if not isinstance(inner, keras.layers.Layer):
        inner = Function(inner)
    # Gray images are of one channel here.
    gray = len(shape) == 2
    images = keras.Input((*shape, 1) if gray else shape, name="images")
    low, high = reading.bounds
    pixels = images * (high - low) + low
    if gray:
        pixels = keras.ops.squeeze(pixels, -1)
    find = functools.partial(
        _scores, pixels=pixels, source=source, reading=reading
    )
    if reading.probabilities:
        outputs = _logarithms(inner, find)
    else:
        outputs = {"scores": find(inner)}
    # TensorFlow takes no other names.
    name = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "model"
    return keras.Model(images, outputs, name=name)


def _check_shape(shape, source):
    if len(shape) in (2, 3) and None not in shape:
        return
    reshape = f"keras.layers.Reshape({shape}), " if None not in shape else ""
    raise ValueError(
        f"{source} takes inputs {shape}; expected images (height, width, "
        "channels) or (height, width) of a fixed size; wrap it as "
        "keras.Sequential([keras.Input((height, width, channels)), "
        f"{reshape}model])"
    )


def _check_type(inner, source):
    taken = getattr(inner, "inputs", None)
    dtype = taken[0].dtype if isinstance(taken, list) and taken else "float32"
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            f"{source} takes {dtype}, along which there are no gradients; "
            "expected floats; give it a keras.Input of these"
        )


def _scores(inner, pixels, source, reading):
    # As whoever judges adversarials asks: a layer that was called with
    # training=True would else draw noise in attacks alone.
    try:
        outputs = inner(pixels, training=False)
    except Exception as error:  # whatever anybody's model may raise
        raise ValueError(
            f"{source} fails on images {tuple(pixels.shape)}: {error}"
        ) from error
    if isinstance(outputs, dict):
        wanted = reading.scores or "scores"
        if wanted not in outputs and (reading.scores or len(outputs) > 1):
            raise ValueError(
                f"{source} has the outputs {', '.join(sorted(outputs))}, and "
                f"none of them is called {wanted}; name that with the logits "
                "by scores=..."
            )
        outputs = outputs.get(wanted, next(iter(outputs.values())))
    elif reading.scores:
        raise ValueError(
            f"the outputs of {source} have no names; leave out "
            f"scores={reading.scores}"
        )
    elif isinstance(outputs, list | tuple):
        if len(outputs) > 1:
            raise ValueError(
                f"{source} has {len(outputs)} outputs without names; expected "
                "one; wrap it as keras.Model(inputs, {'scores': ...})"
            )
        (outputs,) = outputs
    if len(outputs.shape) != 2 or outputs.shape[1] is None:
        raise ValueError(
            f"{source} gives {tuple(outputs.shape)}; expected scores (batch, "
            "classes)"
        )
    return outputs


def _logarithms(inner, find):
    given = find(inner)
    logits = _less_softmax(inner)
    if logits is not None:
        scores = find(logits, reading=PLAIN)
        return {"scores": keras.ops.log_softmax(scores)}
    # Of a zero there is none. What is less, or not a number, is no probability,
    # and has none either.
    least = np.finfo(np.float32).tiny
    small = keras.ops.logical_and(given >= 0, given < least)
    scores = keras.ops.log(keras.ops.where(small, least, given))
    return {"scores": scores, "probabilities": given}


def _less_softmax(model):
    """The logits of a Keras model that ends with a softmax, as a model.

    None: it ends with something else, or that it does is not plain to see.
    """
    # In classes of others, call may do more than the graph shows. A SavedModel
    # shows none.
    own = type(model).__module__.startswith("keras.")
    if not own or not isinstance(model, keras.Model):
        return None
    last = model.layers[-1]
    # That of a layer's first use: a layer with an earlier one has another.
    if len(model.outputs) > 1 or last.output is not model.outputs[0]:
        return None
    if type(last) is keras.layers.Softmax and last.axis in (-1, 1):
        return keras.Model(model.inputs[0], last.input)
    if getattr(last, "activation", None) is not keras.activations.softmax:
        return None
    if type(last) is keras.layers.Activation:
        return keras.Model(model.inputs[0], last.input)
    # Whose kernel is all there is to it.
    plain = type(last) is keras.layers.Dense and not (
        last.lora_enabled or last.quantization_mode
    )
    if not plain:
        return None
    # The model is somebody's, and stays what it is.
    linear = keras.layers.Dense(
        last.units, use_bias=last.use_bias, dtype=last.dtype_policy
    )
    logits = keras.Model(model.inputs[0], linear(last.input))
    linear.set_weights(last.get_weights())
    return logits
