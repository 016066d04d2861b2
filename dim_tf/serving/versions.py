"""SavedModels, loaded and warm: their signatures and what these take."""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.serving.errors import RequestError

DEFAULT = "serving_default"
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What goes into or comes out of a model.

    Attributes:
        name: of the tensor.
        dtype: NumPy's, such as float32.
        shape: with None for any size; the first is the batch's.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...]


class Signature:
    """A function of a SavedModel, warm.

    Args:
        model: name of the model.
        function: of `tf.saved_model.load(...).signatures`.

    Attributes:
        inputs, outputs: `Tensor` by name.

    Raises:
        ValueError: its inputs or outputs are no batches of numbers.
    """

    def __init__(self, model: str, function: Any):
        self.model = model
        self._function = function
        _, keywords = function.structured_input_signature
        self.inputs = _tensors("input", keywords)
        self.outputs = _tensors("output", function.structured_outputs)
        for tensor in self.inputs.values():
            if None in tensor.shape[1:]:
                raise ValueError(
                    f"its input {tensor.name!r} has the shape {tensor.shape}; "
                    "expected no unknown size but the first, the batch's; "
                    "export it so"
                )
        # The first call traces and allocates, which nobody should wait for.
        zeros = {
            tensor.name: np.zeros(
                [size or 1 for size in tensor.shape], tensor.dtype
            )
            for tensor in self.inputs.values()
        }
        with contextlib.suppress(RequestError):  # who takes anything but zeros
            self.predict(zeros)

    def predict(
        self, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs `(batch, ...)` by name of inputs `(batch, ...)` by name.

        Raises:
            RequestError: 400, the model refuses their values.
        """
        feeds = {name: tf.constant(value) for name, value in inputs.items()}
        try:
            found = self._function(**feeds)
        except tf.errors.InvalidArgumentError as error:
            reason = error.message.partition("\n")[0]
            raise RequestError(400, f"the model refuses: {reason}") from error
        return {name: value.numpy() for name, value in sorted(found.items())}


class Version:
    """A SavedModel that is loaded and warm.

    Args:
        name: of the model.
        number: of the version.
        folder: of the SavedModel.

    Attributes:
        signatures: `Signature` by name.
    """

    def __init__(self, name: str, number: int, folder: pathlib.Path):
        self.name = name
        self.number = number
        self._loaded = tf.saved_model.load(str(folder))
        if DEFAULT not in self._loaded.signatures:
            others = ", ".join(sorted(self._loaded.signatures)) or "none"
            raise ValueError(f"it has no signature {DEFAULT!r}, only {others}")
        self.signatures: dict[str, Signature] = {}
        for signature, function in self._loaded.signatures.items():
            try:
                self.signatures[signature] = Signature(name, function)
            except ValueError as error:
                if signature == DEFAULT:
                    raise
                _LOG.warning("%s of %s: %s", signature, name, error)

    @property
    def default(self) -> Signature:
        """The signature of requests that name none."""
        return self.signatures[DEFAULT]

    def scores(self, images: tf.Tensor) -> tf.Tensor:
        """Scores `(batch, classes)` of images, which can be differentiated."""
        return self._loaded.signatures[DEFAULT](images=images)["scores"]


def _tensors(kind: str, specs: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a function takes or gives, by name.

    Args:
        kind: "input" or "output".
        specs: of a SavedModel's function.

    Raises:
        ValueError: there is none, or one is no batch of numbers.
    """
    if not specs:
        raise ValueError(f"it has no {kind}s; expected at least one")
    found = {}
    for name, spec in sorted(specs.items()):
        # Of unknown rank, or a scalar, or the same for any number of rows.
        if not spec.shape.rank or spec.shape[0] is not None:
            raise ValueError(
                f"its {kind} {name!r} has the shape {spec.shape}; expected an "
                "unknown first size, the batch's; export it so"
            )
        dtype = np.dtype(spec.dtype.as_numpy_dtype)
        if dtype.kind not in "biuf":
            raise ValueError(
                f"its {kind} {name!r} is of {spec.dtype.name}; expected a type "
                "of numbers that NumPy has, such as float32; cast it on export"
            )
        found[name] = Tensor(name, dtype, tuple(spec.shape))
    return found
