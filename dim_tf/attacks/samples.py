"""The arguments of an attack's call, checked and made rows."""

import dataclasses
import warnings
import zlib

import eagerpy
import foolbox
import numpy as np
import tensorflow as tf

from dim_tf.attacks import graphs
from dim_tf.attacks.criteria import MarginMisclassification
from dim_tf.attacks.graphs import Rows
from dim_tf.caching import kept_with_model


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a call of an attack is about, checked.

    Attributes:
        model: foolbox model.
        rows: `images` float32 `(batch, pixels)`, `classes` int64 `(batch,)`,
            `seeds` int32 `(batch, 2)`, maybe `margins` float32 `(batch,)`, and
            what an attack adds to them.
        shape: of an image.
        targeted: whether `classes` are to be reached.
    """

    model: foolbox.Model
    rows: Rows
    shape: tuple[int, ...]
    targeted: bool

    def __len__(self):
        return len(self.rows["images"])

    @property
    def setting(self):
        """What a compiled attack is compiled for, beside the model."""
        return self.model.bounds, self.shape, self.targeted

    def take(self, indices) -> "Samples":
        """Some of the samples."""
        rows = graphs.take(self.rows, indices)
        return dataclasses.replace(self, rows=rows)

    def unflatten(self, flat):
        """`(..., pixels)` -> float32 tensor `(..., *shape)`."""
        flat = tf.convert_to_tensor(flat)
        return tf.reshape(flat, (*flat.shape[:-1], *self.shape))


def check(model, inputs, criterion, starting_points=None, seed=0) -> Samples:
    """The arguments of a call as samples.

    Args:
        model: foolbox model.
        inputs: float `(batch, ...)` within the model's bounds: a TensorFlow
            tensor, an eagerpy tensor or a NumPy array.
        criterion: integer labels `(batch,)`, or a foolbox
            `Misclassification` or `TargetedMisclassification`, or a
            `MarginMisclassification`.
        starting_points: like `inputs`, or None.
        seed: int, of the attack.

    Raises:
        ValueError: an argument is not as above; says which.
    """
    if not hasattr(model, "bounds"):
        raise ValueError(
            "expected a foolbox model, such as foolbox.TensorFlowModel(model, "
            f"bounds=(0, 1)), got {model!r}"
        )
    images = as_images(inputs, model, "inputs")
    classes, targeted = _as_classes(criterion, len(images))
    known = num_classes(model, images.shape[1:])
    if classes.min() < 0 or classes.max() >= known:
        raise ValueError(
            f"labels must be classes of the model, 0 to {known - 1}, got "
            f"values from {classes.min()} to {classes.max()}"
        )
    flat = images.reshape(len(images), -1)
    rows: Rows = {
        "images": tf.constant(flat),
        "classes": tf.constant(classes),
        "seeds": tf.constant(_seeds(flat, seed)),
    }
    if isinstance(criterion, MarginMisclassification):
        rows["margins"] = tf.constant(criterion.margins)
    if starting_points is not None:
        starts = as_images(starting_points, model, "starting_points")
        if starts.shape != images.shape:
            raise ValueError(
                "starting_points must be of the inputs' shape "
                f"{images.shape}, got {starts.shape}"
            )
        rows["starting_points"] = tf.constant(starts.reshape(flat.shape))
    return Samples(model, rows, images.shape[1:], targeted)


def as_epsilons(epsilons) -> tuple[list[float | None], bool]:
    """Epsilons as a list, and whether there were several to begin with.

    Raises:
        ValueError: none, or one that is no number >= 0.
    """
    several = np.ndim(epsilons) > 0
    given = epsilons if several else [epsilons]
    listed = [_as_epsilon(epsilon) for epsilon in given]
    if not listed:
        raise ValueError("expected at least one epsilon, got none")
    return listed, several


def _as_epsilon(epsilon) -> float | None:
    if epsilon is None:
        return None
    try:
        number = float(epsilon)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 <= number < np.inf:
        raise ValueError(
            "epsilons must be finite numbers >= 0, or None for no limit, got "
            f"{epsilon!r}"
        )
    return number


@kept_with_model
def num_classes(model, shape: tuple[int, ...]) -> int:
    """Number of scores that a model gives to an image.

    Raises:
        ValueError: the model does not take such images, cannot be traced, or
            does not give scores `(batch, classes)` of at least two classes.
    """
    described = f"images of shape ({', '.join(map(str, ('batch', *shape)))})"
    try:
        graph = _traced(model, (None, *shape))
        scores = graph.structured_outputs
        # A number of rows shows whether they are those of the images.
        of_two = _traced(model, (2, *shape)).structured_outputs
    except Exception as error:  # whatever a model may raise
        raise ValueError(
            f"the model failed on {described}: {error}\nPass images as the "
            "model takes them, channels included, and a model that "
            "tf.function can trace for a batch of any size"
        ) from error
    if not (
        isinstance(scores, tf.Tensor | tf.TensorSpec)
        and scores.dtype.is_floating
        and scores.shape.rank == 2
        and scores.shape[1] is not None
        and of_two.shape[0] in (2, None)
    ):
        raise ValueError(
            "the model must give float scores (batch, classes), but for 2 "
            f"{described} it gives {of_two}"
        )
    if scores.shape[1] < 2:
        raise ValueError(
            "the model must give a score for each of two classes or more, but "
            "gives one; put a zero before it, which is the other's logit"
        )
    _warn_of_probabilities(graph)
    return scores.shape[1]


def _traced(model, shape):
    spec = tf.TensorSpec(shape, tf.float32)
    return tf.function(model, autograph=False).get_concrete_function(spec)


def _warn_of_probabilities(graph):
    """As far as a graph shows them; a SavedModel's is hidden in another."""
    last = graph.outputs[0].op
    while last.type in ("Identity", "Cast", "Reshape"):
        last = last.inputs[0].op
    if last.type in ("Softmax", "Sigmoid"):
        warnings.warn(
            f"the model ends with a {last.type.lower()}, and attacks need its "
            "logits: gradients of probabilities vanish where it is sure",
            stacklevel=2,
        )


def _seeds(flat: np.ndarray, seed: int) -> np.ndarray:
    """One seed per image, which follows its pixels and not its place."""
    hashes = [zlib.crc32(image.tobytes()) >> 1 for image in flat]
    return np.stack([np.full(len(flat), seed), hashes], 1).astype(np.int32)


def as_images(inputs, model, name: str) -> np.ndarray:
    """Images as float32 `(n, ...)`.

    Args:
        inputs: of whatever library.
        model: foolbox model, within whose bounds they are to be.
        name: of the argument, for messages.

    Raises:
        ValueError: they are no such images.
    """
    if isinstance(inputs, eagerpy.Tensor):
        inputs = inputs.raw
    images = np.asarray(inputs)
    if images.dtype.kind != "f" or images.ndim < 2 or not len(images):
        raise ValueError(
            f"{name} must be a batch of at least one float image, got "
            f"{images.dtype} {images.shape}"
        )
    images = np.ascontiguousarray(images, np.float32)
    lower, upper = model.bounds
    # A NaN passes neither comparison.
    if not (images.min() >= lower and images.max() <= upper):
        raise ValueError(
            f"{name} must lie within the model's bounds [{lower:g}, "
            f"{upper:g}], got values in [{images.min():g}, {images.max():g}]"
        )
    return images


def _as_classes(criterion, count) -> tuple[np.ndarray, bool]:
    targeted = isinstance(criterion, foolbox.criteria.TargetedMisclassification)
    if targeted:
        criterion = criterion.target_classes
    elif isinstance(criterion, foolbox.criteria.Misclassification):
        criterion = criterion.labels
    elif isinstance(criterion, foolbox.criteria.Criterion):
        raise ValueError(
            "expected labels, Misclassification or TargetedMisclassification, "
            f"got {criterion!r}"
        )
    if isinstance(criterion, eagerpy.Tensor):
        criterion = criterion.raw
    classes = np.asarray(criterion)
    if classes.dtype.kind not in "iu" or classes.shape != (count,):
        raise ValueError(
            f"labels must be integers ({count},), one for each image, got "
            f"{classes.dtype} {classes.shape}"
        )
    return classes.astype(np.int64), targeted
