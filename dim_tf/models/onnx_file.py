"""A model as an ONNX file, for runtimes without TensorFlow."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dim_tf import staging
from dim_tf.models import saving

NAME = "model.onnx"
# The newest that tf2onnx writes.
_OPSET = 18


class NotInOnnx(ValueError):
    """A model needs what ONNX does not have."""


def export(
    model: keras.Model, card: Mapping[str, Any], folder: pathlib.Path
) -> pathlib.Path:
    """Writes `model.onnx` into a model's folder, checked for parity.

    Its input is `images`, float32 `(n, 28, 28, 1)` in [0, 1]; its outputs are
    those of the SavedModel, `label` included; the card is its metadata `card`.

    Args:
        model: images -> dict of outputs.
        card: the model's card.
        folder: the model's folder, made where missing.

    Returns:
        The file.

    Raises:
        ValueError: the packages for ONNX are not installed, or the model
            takes gradients, which ONNX does not have.
        ArithmeticError: ONNX Runtime's outputs differ from the model's.
    """
    try:
        import onnxruntime
        import tf2onnx
    except ImportError:
        raise ValueError(
            "ONNX needs more packages; in the clone of dim_tf, run `pip "
            "install -e '.[onnx]'`"
        ) from None
    serve = tf.function(saving.serving(model))
    gradients = _gradients(serve)
    if gradients:
        raise NotInOnnx(
            f"{card['model']} takes gradients to answer ({', '.join(gradients)}"
            "), which ONNX does not have; export it as a SavedModel"
        )
    file, _ = tf2onnx.convert.from_function(
        serve,
        input_signature=(saving.IMAGES,),
        opset=_OPSET,
    )
    file.metadata_props.add(key="card", value=json.dumps(card))
    content = file.SerializeToString()
    session = onnxruntime.InferenceSession(content)
    names = [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        values = session.run(names, {saving.IMAGES.name: images})
        return dict(zip(names, values, strict=True))

    saving.check_parity(model, run, "ONNX file")
    with staging.staged(folder / NAME) as path:
        path.write_bytes(content)
    return folder / NAME


def _gradients(serve) -> list[str]:
    """The gradient operations of a `tf.function`, by type."""
    graph = serve.get_concrete_function(saving.IMAGES).graph.as_graph_def()
    nodes = [*graph.node]
    for each in graph.library.function:
        nodes += each.node_def
    return sorted({node.op for node in nodes if node.op.endswith("Grad")})
