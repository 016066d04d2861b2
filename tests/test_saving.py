import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from dim_tf import models
from dim_tf.models import saving


@pytest.fixture
def model(small_sizes):
    return models.build("dim", small_sizes("dim"))


def make_card(model, name="dim"):
    return {
        "model": name,
        "weights_digest": saving.digest(model),
        "settings": {"sizes": {}, "dataset": "mnist"},
    }


def contents(folder):
    """Bytes of every file below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_digest_sees_every_weight(model, small_sizes):
    twin = models.build("dim", small_sizes("dim"))
    twin.set_weights(model.get_weights())
    original = saving.digest(model)
    assert saving.digest(twin) == original
    for weight in twin.weights:
        value = weight.numpy()
        changed = value.copy()
        changed.flat[-1] += 1e-6
        weight.assign(changed)
        assert saving.digest(twin) != original, weight.path
        weight.assign(value)
    assert saving.digest(twin) == original


def test_write_makes_folders_and_leaves_no_scratch(model, tmp_path):
    folder = tmp_path / "new" / "dim"
    saving.write(folder, make_card(model), model)
    assert contents(tmp_path).keys() == {
        "new/dim/card.json",
        "new/dim/model.keras",
    }
    assert saving.read_card(folder) == make_card(model)
    assert saving.digest(saving.read_weights(folder)) == saving.digest(model)


def test_write_of_a_variant_writes_the_card_alone(model, tmp_path):
    saving.write(tmp_path / "bi_dim", make_card(model, "bi_dim"), None)
    assert contents(tmp_path).keys() == {"bi_dim/card.json"}


def raise_disk_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def save_half(self, path):
    del self
    pathlib.Path(path).write_bytes(b"half a model")
    raise_disk_full()


@pytest.mark.parametrize(
    ("owner", "method", "failure"),
    [
        (keras.Model, "save", save_half),
        (pathlib.Path, "write_text", raise_disk_full),
        (pathlib.Path, "replace", raise_disk_full),
    ],
    ids=["weights", "card", "rename"],
)
def test_full_disk_leaves_the_old_folder(
    saved_models, model, monkeypatch, owner, method, failure
):
    before = contents(saved_models)
    monkeypatch.setattr(owner, method, failure)
    with pytest.raises(OSError, match="No space left"):
        saving.write(saved_models / "dim", make_card(model), model)
    assert contents(saved_models) == before
    assert not list(saved_models.glob(".*"))


def test_kill_between_weights_and_card_is_noticed(
    saved_models, model, monkeypatch
):
    replace = pathlib.Path.replace

    def replace_weights_only(path, target):
        if path.name == "card.json":
            raise_disk_full()
        return replace(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace_weights_only)
    with pytest.raises(OSError, match="No space left"):
        saving.write(saved_models / "dim", make_card(model), model)
    with pytest.raises(ValueError, match="are not those .* train .* again"):
        models.load("dim")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"model": "dim", "weigh',
        b"\xff\xfe",
        b"[]",
        b"7",
        b'{"model": "dim"}',
        b'{"weights_digest": "0"}',
        b'{"model": "dim", "weights_digest": "0", "settings": {"sizes": {}}}',
    ],
    ids=str,
)
def test_damaged_card(saved_models, text):
    (saved_models / "dim" / "card.json").write_bytes(text)
    with pytest.raises(ValueError, match="card.json is damaged .*git"):
        models.load("dim")


def flip(raw, position):
    return raw[:position] + bytes([raw[position] ^ 255]) + raw[position + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: b"no zip file",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: flip(raw, len(raw) // 2),
        lambda raw: flip(raw, 300),
    ],
    ids=["empty", "text", "truncated", "flipped_weight", "flipped_config"],
)
@pytest.mark.parametrize("name", ["dim", "bi_dim"])
def test_damaged_weights(saved_models, name, damage):
    path = saved_models / "dim" / "model.keras"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="model.keras is damaged .*git"):
        models.load(name)


@pytest.mark.parametrize("name", ["dim", "bi_dim"])
def test_weights_of_another_training(saved_models, model, name):
    model.save(saved_models / "dim" / "model.keras")
    with pytest.raises(
        ValueError, match="not those that .*card.json describes"
    ):
        models.load(name)


@pytest.mark.parametrize("missing", ["card.json", "model.keras"])
def test_incomplete_folder(saved_models, missing):
    (saved_models / "dim" / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no.*{missing}"):
        models.load("dim")


def test_variant_without_its_parent(saved_models):
    shutil.rmtree(saved_models / "dim")
    with pytest.raises(FileNotFoundError, match="dim"):
        models.load(saved_models / "bi_dim")


def test_export_counts_versions_and_reuses_the_newest(model, tmp_path):
    folder = tmp_path / "dim"
    (folder / "10_notes").mkdir(parents=True)
    card = make_card(model)
    assert saving.export(model, card, folder) == folder / "1"
    before = contents(folder)
    assert saving.export(model, card, folder) == folder / "1"
    assert contents(folder) == before
    (folder / "1").rename(folder / "9")
    changed = {**card, "seed": 1}
    assert saving.export(model, changed, folder) == folder / "10"
    assert saving.export(model, changed, folder) == folder / "10"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["10", "10_notes", "9"]
    copied = folder / "10" / "assets.extra" / "card.json"
    assert json.loads(copied.read_text()) == changed


def test_export_remakes_a_version_without_its_card(model, tmp_path):
    card = make_card(model)
    version = saving.export(model, card, tmp_path / "dim")
    shutil.rmtree(version / "assets.extra")
    assert saving.export(model, card, tmp_path / "dim").name == "2"


@pytest.mark.parametrize("shift", [1e-3, np.nan], ids=["shifted", "nan"])
def test_parity_failure_leaves_nothing(model, tmp_path, monkeypatch, shift):
    write = saving._write_saved_model

    def write_another(model, folder):
        bias = model.get_layer("internal_models").get_layer("output").bias
        value = bias.numpy()
        bias.assign(value + shift)
        write(model, folder)
        bias.assign(value)

    monkeypatch.setattr(saving, "_write_saved_model", write_another)
    with pytest.raises(
        ArithmeticError, match="differs .* nothing was exported"
    ):
        saving.export(model, make_card(model), tmp_path / "dim")
    assert not list((tmp_path / "dim").iterdir())


_SERVE = """
import sys

sys.modules["dim_tf"] = None  # importing it fails from here on
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
outputs = signature(images=tf.constant(np.load("images.npy")))
np.savez("outputs.npz", **{name: outputs[name] for name in outputs})
assert not [name for name in sys.modules if name.startswith("dim_tf.")]
"""


def test_export_remakes_a_version_without_all_signatures(model, tmp_path):
    """As those of before there was `scores`."""
    card = make_card(model)
    version = saving.export(model, card, tmp_path / "dim")
    path = version / "saved_model.pb"
    exported = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    del exported.meta_graphs[0].signature_def["scores"]
    path.write_bytes(exported.SerializeToString())
    assert saving.export(model, card, tmp_path / "dim").name == "2"


def serve_elsewhere(version, images, folder):
    """Outputs of a SavedModel in a process that cannot import dim_tf."""
    folder.mkdir()
    np.save(folder / "images.npy", images)
    (folder / "serve.py").write_text(_SERVE)
    subprocess.run(
        [sys.executable, "-I", "serve.py", str(version)],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return np.load(folder / "outputs.npz")


def test_saved_model_serves_without_dim_tf(small_sizes, tmp_path, generator):
    model = models.build("bi_dim", small_sizes("bi_dim"))
    card = make_card(model, "bi_dim")
    version = saving.export(model, card, tmp_path / "bi_dim")
    images = generator.uniform(size=(3, 28, 28, 1)).astype(np.float32)
    outputs = serve_elsewhere(version, images, tmp_path / "elsewhere")
    expected = model(images)
    assert set(outputs) == {*expected, "label"}
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5)
    assert outputs["label"].dtype == np.int64
    np.testing.assert_array_equal(
        outputs["label"], np.argmax(expected["scores"], axis=1)
    )


def test_saved_model_of_the_cnn_serves_scores_and_label(tmp_path, generator):
    model = models.build("cnn")
    version = saving.export(model, make_card(model, "cnn"), tmp_path / "cnn")
    images = generator.uniform(size=(2, 28, 28, 1)).astype(np.float32)
    signature = keras.layers.TFSMLayer(version, call_endpoint="serving_default")
    outputs = signature(images)
    assert set(outputs) == {"scores", "label"}
    np.testing.assert_allclose(
        outputs["scores"], model(images)["scores"], atol=1e-5
    )
