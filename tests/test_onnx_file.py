import dataclasses
import json
import sys

import numpy as np
import onnxruntime
import pytest

from dim_tf import export
from dim_tf import models
from dim_tf.models import onnx_file
from dim_tf.models import saving

CARD = {"model": "it", "weights_digest": "", "settings": {"sizes": {}}}


def run(path, images):
    """A session's outputs by name, and its metadata."""
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(names, {"images": images})
    card = session.get_modelmeta().custom_metadata_map["card"]
    return dict(zip(names, outputs, strict=True)), json.loads(card)


WITHOUT_GRADIENTS = [name for name in models.MODELS if "abs" not in name]


@pytest.mark.parametrize("name", WITHOUT_GRADIENTS)
def test_onnx_runtime_answers_like_the_model(
    name, small_sizes, tmp_path, generator
):
    model = models.build(name, small_sizes(name))
    path = onnx_file.export(model, CARD, tmp_path / name)
    assert list(tmp_path.rglob("*.*")) == [tmp_path / name / "model.onnx"]
    images = generator.uniform(size=(5, 28, 28, 1)).astype(np.float32)
    outputs, card = run(path, images)
    assert card == CARD
    expected = model(images)
    assert outputs.keys() == {*expected, "label"}
    for output, value in expected.items():
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(outputs[output], value, 0, 1e-5 * scale)
    np.testing.assert_array_equal(
        outputs["label"], np.argmax(expected["scores"], 1)
    )
    assert outputs["label"].dtype == np.int64


def test_command_exports_the_folders_models(small_sizes, tmp_path):
    for name in ("dim", "abs"):
        model = models.build(name, small_sizes(name))
        card = {
            "model": name,
            "weights_digest": saving.digest(model),
            "settings": {
                "sizes": dataclasses.asdict(small_sizes(name)),
                "dataset": "mnist",
            },
        }
        saving.write(tmp_path / name, card, model)
    write = export.FORMATS["onnx"]
    path, why = export.export_trained("all", tmp_path, write)
    assert path == tmp_path / "dim" / "model.onnx"
    assert why.startswith("left out: abs takes gradients")
    with pytest.raises(ValueError, match="abs takes gradients"):
        list(export.export_trained("abs", tmp_path, write))
    card = run(path, np.zeros((1, 28, 28, 1), np.float32))[1]
    assert card["model"] == "dim"


def test_another_answer_is_not_written(
    small_sizes, tmp_path, monkeypatch, generator
):
    model = models.build("dim", small_sizes("dim"))
    other = models.build("dim", small_sizes("dim"))
    serve = saving.serving(other)
    monkeypatch.setattr(saving, "serving", lambda model: serve)
    with pytest.raises(ArithmeticError, match="ONNX file's .* differs"):
        onnx_file.export(model, CARD, tmp_path / "dim")
    assert not list(tmp_path.iterdir())


def test_a_search_by_gradients_is_refused(small_sizes, tmp_path):
    model = models.build("abs", small_sizes("abs"))
    with pytest.raises(ValueError, match=r"takes gradients .*EluGrad"):
        onnx_file.export(model, CARD, tmp_path / "abs")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(small_sizes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    model = models.build("dim", small_sizes("dim"))
    with pytest.raises(ValueError, match=r"pip install -e '\.\[onnx\]'"):
        onnx_file.export(model, CARD, tmp_path / "dim")
