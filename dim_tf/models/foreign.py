"""Models that this project did not make, as classifiers of images in [0, 1]."""

import dataclasses
import functools
import hashlib
import pathlib
import re
import zipfile

import keras
import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Reading:
    """What files do not say of a model.

    Attributes:
        bounds: what it takes for black and for white.
        signature: of a SavedModel: one with a single input.
        probabilities: whether it gives probabilities; attacks get their
            logarithms, which are logits. Where a Keras file plainly ends with
            a softmax, they are exact; else those of what is (nearly) zero are
            cut off.
        scores: name of the output with the scores, of several; empty: the only
            one, or that of this name.

    Raises:
        ValueError: the bounds do not ascend.
    """

    bounds: tuple[float, float] = (0.0, 1.0)
    signature: str = "serving_default"
    probabilities: bool = False
    # Digests are of how it was written before there was this.
    scores: str = dataclasses.field(default="", repr=False)

    def __post_init__(self):
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"bounds must be ascending, got {self.bounds}")


PLAIN = Reading()


def load(path: pathlib.Path, reading: Reading = PLAIN) -> keras.Model:
    """Loads any Keras file or SavedModel that classifies images.

    Args:
        path: of a `.keras` or `.h5` file, or of a SavedModel's folder.
        reading: of it.

    Returns:
        Keras model, images `(batch, height, width, channels)` in [0, 1] ->
        `{"scores": (batch, classes)}`; beside them `probabilities`, where the
        scores are their logarithms.

    Raises:
        ValueError: unreadable, or not of images to scores; says what it is.
    """
    inner, shape = _read(path, reading.signature)
    _check_shape(shape, path)
    # Gray images are of one channel here.
    gray = len(shape) == 2
    images = keras.Input((*shape, 1) if gray else shape, name="images")
    low, high = reading.bounds
    pixels = images * (high - low) + low
    if gray:
        pixels = keras.ops.squeeze(pixels, -1)
    find = functools.partial(_scores, pixels=pixels, path=path, reading=reading)
    if reading.probabilities:
        outputs = _logarithms(inner, find)
    else:
        outputs = {"scores": find(inner)}
    # TensorFlow takes no other names.
    name = re.sub(r"[^A-Za-z0-9]+", "_", name_of(path)).strip("_") or "model"
    return keras.Model(images, outputs, name=name)


def name_of(path: pathlib.Path) -> str:
    """A file's name, or that of the folder above a version."""
    return path.parent.name if path.name.isdigit() else path.stem


def digest(path: pathlib.Path, reading: Reading | None = None) -> str:
    """SHA-256 of a file, or of all files in a folder, and of their reading.

    Raises:
        FileNotFoundError: there is neither.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    read_as = repr(reading) + reading.scores if reading else ""
    total = hashlib.sha256(read_as.encode())
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    for file in files:
        if file.is_file():
            total.update(str(file.relative_to(path.parent)).encode())
            total.update(file.read_bytes())
    return total.hexdigest()


def _read(path, signature):
    """The model and the shape of an image."""
    if path.is_dir():
        return _read_saved_model(path, signature)
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path} is no Keras model: {reason}. If it is, with code of your "
            "own in it, export it as a SavedModel: model.export(folder)"
        ) from error
    model.trainable = False
    try:
        shape = model.input_shape
    except AttributeError as error:
        raise ValueError(
            f"{path} does not say which images it takes; save it as "
            "keras.Sequential([keras.Input((height, width, channels)), model])"
        ) from error
    if not isinstance(shape, tuple):
        raise ValueError(f"{path} must have one input, got {shape}")
    return model, shape[1:]


def _read_saved_model(path, signature):
    if not (path / "saved_model.pb").is_file():
        raise ValueError(
            f"{path} is neither a model folder of this project (no card.json) "
            "nor a SavedModel (no saved_model.pb)"
        )
    signatures = tf.saved_model.load(str(path)).signatures
    if signature not in signatures:
        raise ValueError(
            f"{path} has no signature {signature!r}; expected one of "
            f"{', '.join(signatures)}"
        )
    _, inputs = signatures[signature].structured_input_signature
    if len(inputs) != 1:
        raise ValueError(
            f"signature {signature!r} of {path} must have one input, got "
            f"{', '.join(inputs)}"
        )
    (spec,) = inputs.values()
    if not spec.dtype.is_floating:
        raise ValueError(
            f"signature {signature!r} of {path} takes {spec.dtype.name}, along "
            "which there are no gradients; expected floats; export a "
            "signature that takes these"
        )
    if spec.shape.rank in (None, 0) or spec.shape[0] is not None:
        raise ValueError(
            f"signature {signature!r} of {path} takes {spec.shape}; expected "
            "an unknown first size, the batch's; export it so"
        )
    # To its own type Keras would cast what it takes.
    layer = keras.layers.TFSMLayer(
        str(path), call_endpoint=signature, dtype=spec.dtype.name
    )
    return layer, tuple(spec.shape[1:])


def _check_shape(shape, path):
    if len(shape) in (2, 3) and None not in shape:
        return
    reshape = f"keras.layers.Reshape({shape}), " if None not in shape else ""
    raise ValueError(
        f"{path} takes inputs {shape}; expected images (height, width, "
        "channels) or (height, width) of a fixed size; save it as "
        "keras.Sequential([keras.Input((height, width, channels)), "
        f"{reshape}model])"
    )


def _scores(inner, pixels, path, reading):
    # As whoever judges adversarials asks: a layer that was called with
    # training=True would else draw noise in attacks alone.
    outputs = inner(pixels, training=False)
    if isinstance(outputs, dict):
        wanted = reading.scores or "scores"
        if wanted not in outputs and (reading.scores or len(outputs) > 1):
            raise ValueError(
                f"{path} has the outputs {', '.join(sorted(outputs))}, and "
                f"none of them is called {wanted}; name that with the logits "
                "by --scores=..."
            )
        outputs = outputs.get(wanted, next(iter(outputs.values())))
    elif reading.scores:
        raise ValueError(
            f"the outputs of {path} have no names; leave out "
            f"--scores={reading.scores}"
        )
    elif isinstance(outputs, list | tuple):
        if len(outputs) > 1:
            raise ValueError(
                f"{path} has {len(outputs)} outputs without names; expected "
                "one; save it as keras.Model(inputs, {'scores': ...})"
            )
        (outputs,) = outputs
    if len(outputs.shape) != 2 or outputs.shape[1] is None:
        raise ValueError(
            f"{path} gives {tuple(outputs.shape)}; expected scores (batch, "
            "classes)"
        )
    return outputs


def _logarithms(inner, find):
    given = find(inner)
    logits = _less_softmax(inner)
    if logits is not None:
        scores = find(logits, reading=PLAIN)
        return {"scores": keras.ops.log_softmax(scores)}
    # Of a zero there is none. What is less is no probability, and has none
    # either.
    least = np.finfo(np.float32).tiny
    known = keras.ops.logical_or(given < 0, given >= least)
    scores = keras.ops.log(keras.ops.where(known, given, least))
    return {"scores": scores, "probabilities": given}


def _less_softmax(model):
    """Makes a Keras model that ends with a softmax one of its logits.

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
    ends = type(last) in (keras.layers.Dense, keras.layers.Activation)
    if ends and last.activation is keras.activations.softmax:
        last.activation = keras.activations.linear
        return model
    return None


def images_of(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of an `.npz` file.

    Args:
        path: of a file with `images`, uint8, or float in [0, 1], `(n, height,
            width)` or `(n, height, width, channels)`, and integer `labels`
            `(n,)`.

    Returns:
        float32 `(n, height, width, channels)` in [0, 1], int64 `(n,)`.

    Raises:
        ValueError: not such a file.
    """
    try:
        with path.open("rb") as file:
            images, labels = _arrays(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} must be an .npz file with arrays `images` and `labels` "
            f"(np.savez(path, images=..., labels=...)): {error}"
        ) from error
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype.kind != "f" or images.ndim != 4:
        raise ValueError(
            f"images in {path} must be uint8 or float (n, height, width) or "
            f"(n, height, width, channels), got {images.dtype} {images.shape}"
        )
    if not images.size:
        raise ValueError(f"images in {path} must be some, got {images.shape}")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images in {path} must lie in [0, 1], got values in "
            f"[{images.min():g}, {images.max():g}]"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"labels in {path} must be integers ({len(images)},), got "
            f"{labels.dtype} {labels.shape}"
        )
    return images.astype(np.float32), labels.astype(np.int64)


def _arrays(file):
    start = file.read(6)
    file.seek(0)
    # What else NumPy takes for pickled.
    if not start.startswith((b"PK", b"\x93NUMPY")):
        raise ValueError(f"found a file that starts with {start!r}")
    loaded = np.load(file)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"found one array, {loaded.dtype} {loaded.shape}")
    with loaded:
        if not {"images", "labels"} <= set(loaded.files):
            found = ", ".join(loaded.files) or "nothing"
            raise ValueError(f"found {found} in it")
        return loaded["images"], loaded["labels"]
