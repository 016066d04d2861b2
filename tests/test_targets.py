import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf import layers
from dim_tf import metrics
from dim_tf import models
from dim_tf.evaluation import fitness
from dim_tf.evaluation import targets
from dim_tf.models import foreign
from dim_tf.models import wrapping

SHAPE = (6, 5, 3)


@pytest.fixture
def classifier():
    """A Keras model of images in [-1, 3] with four classes."""
    inputs = keras.Input(SHAPE)
    hidden = keras.layers.Conv2D(2, 3)(inputs)
    scores = keras.layers.Dense(4)(keras.layers.Flatten()(hidden))
    return keras.Model(inputs, scores)


@pytest.fixture
def images(generator):
    return generator.uniform(size=(7, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_models_of_others_are_classifiers(classifier, images, kind, tmp_path):
    path = tmp_path / "mine.keras"
    if kind == "keras":
        classifier.save(path)
    else:
        path = tmp_path / "mine" / "3"
        classifier.export(path, verbose=False)
    target = targets.find(str(path), wrapping.Reading((-1.0, 3.0)))
    assert target.name == "mine"
    model = target.load()
    assert model.name == "mine"
    tensor = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        scores = model(tensor)["scores"]
    np.testing.assert_allclose(scores, classifier(4 * images - 1), 1e-4, 1e-5)
    assert np.abs(tape.gradient(scores, tensor)).max() > 0
    labels = np.argmax(scores, 1)
    examples = data.Examples(images, labels, np.arange(7))
    assert fitness.check(model, examples) == 1


def test_probabilities_are_refused_or_read_as_logits(
    classifier, images, tmp_path
):
    path = tmp_path / "sure.keras"
    softmax = keras.layers.Softmax()(100 * classifier.output)
    keras.Model(classifier.input, softmax).save(path)
    labels = np.argmax(classifier(images), 1)
    examples = data.Examples(images, labels, np.arange(7))
    with pytest.raises(ValueError, match="'sure' gives probabilities"):
        fitness.check(targets.find(str(path)).load(), examples)
    reading = wrapping.Reading(probabilities=True)
    model = targets.find(str(path), reading).load()
    assert fitness.check(model, examples) == 1
    expected = tf.nn.log_softmax(100 * classifier(images))
    np.testing.assert_allclose(model(images)["scores"], expected, 1e-3, 1e-3)
    # Logits are no probabilities.
    classifier.save(path)
    with pytest.raises(ValueError, match="gives no probabilities"):
        fitness.check(targets.find(str(path), reading).load(), examples)


def test_records_of_another_reading_are_others(classifier, tmp_path):
    path = write(tmp_path / "m.keras", classifier)
    readings = (
        wrapping.Reading(),
        wrapping.Reading((0.0, 255.0)),
        wrapping.Reading(probabilities=True),
    )
    digests = {
        targets.find(str(path), each).weights_digest for each in readings
    }
    assert len(digests) == 3


def test_the_digest_is_that_of_the_files(tmp_path):
    for name in ("a", "b", "b/c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name[:1])
    first = foreign.digest(tmp_path / "b")
    assert first == foreign.digest(tmp_path / "b")
    (tmp_path / "b/c/x").write_text("other")
    assert first != foreign.digest(tmp_path / "b")
    assert foreign.digest(tmp_path / "a/x") != foreign.digest(tmp_path / "b/x")


def test_our_own_models_have_a_name_and_a_card(
    saved_models, tmp_path, monkeypatch
):
    (tmp_path / "here" / "bi_dim").mkdir(parents=True)
    # Where a folder has a model's name, the name is still the model's.
    monkeypatch.chdir(tmp_path / "here")
    target = targets.find("bi_dim")
    assert target.name == "bi_dim"
    assert "reconstructions" in target.load().output
    by_path = targets.find(str(saved_models / "bi_dim"))
    assert by_path.weights_digest == target.weights_digest
    with pytest.raises(ValueError, match="neither a folder nor one of"):
        targets.find("dimm")
    with pytest.raises(ValueError, match="are all of this project"):
        targets.find_all("bi_dim", wrapping.Reading((0.0, 255.0)))
    with pytest.raises(ValueError, match="at least one, got ','"):
        targets.find_all(",")
    with pytest.raises(ValueError, match="several models of one name .bi_dim"):
        targets.find_all(f"bi_dim,{saved_models / 'bi_dim'}")
    targets.check_dataset([target], "mnist")
    with pytest.raises(ValueError, match="trained on mnist, not on cifar10"):
        targets.check_dataset([target], "cifar10")


@pytest.mark.parametrize(
    "name",
    ["my model (1)", "-dash", "_under", "r\u00e9sum\u00e9", "\u00e9", "2"],
)
def test_a_file_may_have_any_name(classifier, images, tmp_path, name):
    target = targets.find(str(write(tmp_path / f"{name}.keras", classifier)))
    assert target.name == name
    scores = metrics.outputs(target.load(), images, "scores")
    np.testing.assert_allclose(scores, classifier(images), 1e-4, 1e-5)


def test_a_stranger_s_model_does_not_pass_for_ours(classifier, tmp_path):
    path = write(tmp_path / "cnn.keras", classifier)
    with pytest.raises(
        ValueError, match="cnn.keras has no card.json.*by name="
    ):
        targets.find(str(path))


def write(path, model):
    model.save(path)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda inputs: inputs, "expected scores .batch, classes."),
        (
            lambda inputs: {"a": inputs[:, 0, 0], "b": inputs[:, 0, 0]},
            "has the outputs a, b, and none of them is called scores; name",
        ),
    ],
)
def test_other_outputs_are_refused(tmp_path, make, message):
    inputs = keras.Input(SHAPE)
    path = write(tmp_path / "m.keras", keras.Model(inputs, make(inputs)))
    with pytest.raises(ValueError, match=message):
        foreign.load(path)


def test_models_of_others_may_be_named(tmp_path, classifier):
    first = write(tmp_path / "a.keras", classifier)
    (tmp_path / "other").mkdir()
    second = write(tmp_path / "other" / "a.keras", classifier)
    with pytest.raises(ValueError, match="give third-party ones names: one"):
        targets.find_all(f"{first},{second}")
    found = targets.find_all(f"one={first}, two={second}")
    assert [target.name for target in found] == ["one", "two"]
    for name in ("dim", "a/b", "..", ""):
        with pytest.raises(ValueError, match=f"'{name}' is the name of a mode"):
            targets.find(f"{name}={first}")
    with pytest.raises(ValueError, match="leave out mine="):
        targets.find(f"mine={models.find('dim')}")
    for missing in ("nothing.keras", "mine=nothing", "runs/lr=0.1/m.keras"):
        with pytest.raises(FileNotFoundError, match=f"of '{missing}'"):
            targets.find(missing)
    with pytest.raises(ValueError, match="'mine=' is neither"):
        targets.find("mine=")


def test_records_tell_surrogates_apart(tmp_path, classifier):
    straight = targets.find("bi_dim", surrogate="straight_through")
    assert straight.settings == {"surrogate": "straight_through"}
    assert targets.find("bi_dim", surrogate="sigmoid").settings == {}
    found = {
        layer.surrogate
        for layer in straight.load().layers
        if isinstance(layer, layers.Binarize)
    }
    assert found == {"straight_through"}
    with pytest.raises(ValueError, match="dim has no binarization"):
        targets.find_all("bi_dim,dim", surrogate="straight_through")
    path = write(tmp_path / "m.keras", classifier)
    with pytest.raises(ValueError, match="m.keras is a third-party model"):
        targets.find(str(path), surrogate="straight_through")


def test_one_score_is_no_classifier(tmp_path, classifier, images):
    one = keras.layers.Dense(1)(classifier.output)
    path = write(tmp_path / "m.keras", keras.Model(classifier.input, one))
    labels = np.zeros(7, np.int64)
    examples = data.Examples(images, labels, np.arange(7))
    with pytest.raises(ValueError, match="gives one score; .*, give .0, z."):
        fitness.check(targets.find(str(path)).load(), examples)


def test_a_class_that_cannot_be_is_allowed(classifier, images):
    scores = keras.ops.pad(
        classifier.output, [[0, 0], [0, 1]], constant_values=-np.inf
    )
    model = keras.Model(classifier.input, {"scores": scores})
    labels = np.argmax(classifier(images), 1)
    examples = data.Examples(images, labels, np.arange(7))
    assert fitness.check(model, examples) == 1
    assert metrics.accuracy(model, examples) == 1


def test_other_inputs_are_refused(tmp_path, classifier):
    flat = keras.Input((8,))
    path = write(
        tmp_path / "m.keras", keras.Model(flat, keras.layers.Dense(2)(flat))
    )
    with pytest.raises(ValueError, match=r"takes inputs \(8,\); expected"):
        foreign.load(path)
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="text.keras is no Keras model"):
        foreign.load(tmp_path / "text.keras")
    with pytest.raises(ValueError, match="nor a SavedModel"):
        foreign.load(tmp_path)
    classifier.export(tmp_path / "saved", verbose=False)
    with pytest.raises(ValueError, match="no signature 'x'; expected one of"):
        foreign.load(tmp_path / "saved", wrapping.Reading(signature="x"))
    with pytest.raises(ValueError, match="must be ascending"):
        wrapping.Reading((1.0, 0.0))


def test_models_that_do_not_fit_the_images(classifier, images):
    model = keras.Model(
        classifier.input, {"scores": classifier.output}, name="mine"
    )
    labels = np.zeros(7, np.int64)
    examples = data.Examples(images, labels, np.arange(7))
    with pytest.raises(ValueError, match="'mine' takes images .6, 5, 3., got"):
        fitness.check(model, data.Examples(images[:, 1:], labels, labels))
    with pytest.raises(ValueError, match="has 4 classes, got labels from 4 to"):
        fitness.check(model, data.Examples(images, labels + 4, labels))
    sick = keras.Model(
        model.input, {"scores": keras.ops.log(-1.0 - model.input[:, 0, 0])}
    )
    with pytest.raises(ValueError, match="not finite on 7 of 7.*row 0"):
        fitness.check(sick, examples)


def test_images_come_from_npz_files(tmp_path):
    path = tmp_path / "images.npz"
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(path, images=images, labels=[1, 0])
    loaded, labels = foreign.images_of(path)
    np.testing.assert_allclose(loaded[..., 0], images / 255, 1e-6)
    assert loaded.dtype == np.float32
    assert labels.dtype == np.int64
    for changes, message in (
        ({"images": images.astype(int)}, "must be uint8 or float"),
        ({"images": images * 1.0}, r"must lie in \[0, 1\], got values in"),
        ({"labels": [1, 0, 1]}, r"must be integers \(2,\)"),
        ({"labels": [1.0, 0.0]}, "must be integers"),
    ):
        np.savez(path, **{"images": images, "labels": [1, 0], **changes})
        with pytest.raises(ValueError, match=message):
            foreign.images_of(path)
    np.savez(path, images=images[:0], labels=np.zeros(0, int))
    with pytest.raises(
        ValueError, match=r"no images: their shape is \(0, 3, 4, 1\)"
    ):
        foreign.images_of(path)
    np.savez(path, images=images, labels=[1, 0])
    cut = path.read_bytes()[:100]
    np.save(tmp_path / "one.npy", images)
    for content in (b"nothing", cut, (tmp_path / "one.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be an .npz file"):
            foreign.images_of(path)


def test_weights_that_were_replaced_meanwhile_are_told(
    saved_models, classifier, tmp_path
):
    path = write(tmp_path / "mine.keras", classifier)
    found, own = targets.find(str(path)), targets.find("dim")
    for target in (found, own):
        target.loaded()
    classifier.set_weights([2 * each for each in classifier.get_weights()])
    write(path, classifier)
    with pytest.raises(ValueError, match="weights of mine were replaced"):
        found.loaded()
    # Those of another training, with its card.
    shutil.copytree(
        saved_models / "cnn", saved_models / "dim", dirs_exist_ok=True
    )
    with pytest.raises(ValueError, match="weights of dim were replaced"):
        own.loaded()


def test_a_path_is_a_folder_also_where_it_is_called_as_a_model(
    tmp_path, monkeypatch
):
    (tmp_path / "dim").mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (pathlib.Path("dim"), "./dim"):
        assert models.find(path) == tmp_path / "dim"
    assert models.find("dim") == models.SAVED_MODELS / "dim"


@pytest.mark.parametrize(
    ("part", "suits"),
    [
        (keras.layers.Rescaling(2.0), True),
        (lambda images: images * 2 + 1, True),
        (keras.layers.Conv2D(3, 3), False),
        # Of which XLA may lack something, or be slow at it.
        (keras.layers.Resizing(4, 4, interpolation="bicubic"), False),
        (lambda images: keras.ops.image.resize(images, (4, 4)), False),
        (lambda images: keras.ops.max_pool(images, 2), False),
    ],
)
def test_only_what_is_known_to_suit_xla_is_compiled_by_it(part, suits):
    inputs = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(part(inputs))
    inner = keras.Model(inputs, keras.layers.Dense(4)(flat))
    model = targets.of_model(inner, SHAPE).load()
    assert targets.jit_compile("auto", model) == suits
    assert targets.jit_compile("on", model)


@pytest.mark.parametrize(
    ("name", "suits"), [("bi_dim", True), ("cnn", False), ("madry", False)]
)
def test_xla_compiles_attacks_on_dense_models(name, suits):
    assert targets.jit_compile("auto", models.build(name)) == suits
