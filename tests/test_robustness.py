"""One call from Python says what the commands say, and the truth."""

import contextlib

import foolbox
import keras
import numpy as np
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from closed_forms import DUAL_ORDER
from closed_forms import SHAPE
from closed_forms import constant
from closed_forms import linear
from closed_forms import not_a_number
from closed_forms import sizes
from tiny_nets import NET

from dim_tf import attacks
from dim_tf import report
from dim_tf import robustness
from dim_tf.attacks.suite import PRESETS
from dim_tf.evaluation import results
from dim_tf.evaluation import targets

precision = tf.config.experimental
COUNT = 8
WEIGHTS = np.linspace(-1, 1, 36).astype(np.float32)
OFFSET = 0.6
PGD = attacks.LinfPGD()


@pytest.fixture
def images(generator):
    return generator.uniform(0.45, 0.55, (COUNT, *SHAPE)).astype(np.float32)


def measure(model, images, labels, **settings):
    defaults = {
        "only": ("l2_ddn30", "linf_bim"),
        "suite": "quick",
        "verbose": False,
        "xla": "off",
        "probes": False,
    }
    return robustness.measure(model, images, labels, **defaults | settings)


def dense(weights=WEIGHTS, offset=OFFSET, activation=None):
    """`closed_forms.linear` as a Keras model."""
    inputs = keras.Input(SHAPE)
    outputs = keras.layers.Dense(2, activation)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    both = np.stack([0 * weights, weights], 1)
    model.set_weights([both, np.array([0.0, -offset])])
    return model


def integers():
    inputs = keras.Input(SHAPE, dtype="uint8")
    return keras.Model(inputs, dense()(keras.ops.cast(inputs, "float32")))


def optimum(images, norm):
    lacks = OFFSET - images.reshape(len(images), -1) @ WEIGHTS
    return lacks / np.linalg.norm(WEIGHTS, DUAL_ORDER[norm])


def test_distances_are_those_that_can_be_written_down(images):
    labels = np.zeros(COUNT, int)
    labels[3] = 1
    limit = float(np.median(optimum(images, "l2"))) * 1.02
    found = measure(dense(), images, labels, thresholds={"l2": limit})
    expected = np.where(labels, 0, optimum(images, "l2"))
    np.testing.assert_allclose(found.distances("l2"), expected, 0.03)
    assert (found.distances("l2") >= expected * (1 - 1e-5)).all()
    robust = (found.distances("l2") > limit).mean()
    assert found.accuracy("l2").value == robust
    assert found.clean_accuracy.value == 7 / 8
    assert found.median_distance("l2").value == np.median(found.distances("l2"))
    # What attacks of the other norm find is farther.
    assert (found.distances("linf") <= 0.25 * (labels == 0)).all()
    for norm in ("l2", "linf"):
        adversarials = found.adversarials(norm)
        moved = sizes(norm, adversarials - images)
        np.testing.assert_allclose(
            moved, found.distances(norm), 1e-5, 1e-6, err_msg=norm
        )
        answers = np.argmax(dense()(adversarials), 1)
        np.testing.assert_array_equal(answers, 1 - labels * (answers == 0))
    with pytest.raises(ValueError, match="no attack was in l0, but in l2, lin"):
        found.accuracy("l0")
    with pytest.raises(ValueError, match="unknown norm 'L2'"):
        found.adversarials("L2")


def test_a_long_attack_finds_what_lies_within_its_threshold(images):
    nearest = optimum(images, "linf")
    # Far from all, as a trial looks a little beyond an answer.
    limit = 0.034
    within = nearest <= limit
    assert 0 < within.sum() < COUNT
    found = measure(
        *(dense(), images, np.zeros(COUNT, int)),
        suite="autoattack",
        only="linf_apgd_ce",
        thresholds={"linf": limit},
    )
    distances = found.distances("linf")
    np.testing.assert_array_equal(np.isfinite(distances), within)
    assert (distances >= nearest * (1 - 1e-5)).all()
    assert (distances[within] <= limit).all()
    assert found.accuracy("linf").value == 1 - within.mean()


def test_it_says_what_a_report_says(images, tmp_path, monkeypatch):
    found = measure(
        *(dense(), images, np.zeros(COUNT, int)),
        name="mine",
        probes=True,
        results=tmp_path / "kept",
    )
    text = str(found)
    settings = report.ReportConfig(
        results=str(tmp_path / "kept"), output=str(tmp_path / "report.md")
    )
    monkeypatch.setattr(report.config, "from_flags", lambda kind: settings)
    report.main([])
    assert (tmp_path / "report.md").read_text() == text
    assert "linf_bim on mine with twice the steps: robust accuracy" in text
    assert text.startswith("|  | `mine` |\n| -- | -- |\n| `l2_ddn30` |")
    assert found._repr_markdown_() == repr(found) == text


@pytest.mark.parametrize("kind", ["function", "graph", "layers", "model"])
def test_any_model_gets_the_records_of_a_file(kind, images, tmp_path):
    labels = np.zeros(COUNT, int)
    model = dense()
    layers = [keras.layers.Flatten(), model.layers[-1]]
    given = {
        "function": linear(WEIGHTS, OFFSET),
        "graph": tf.function(linear(WEIGHTS, OFFSET)),
        "layers": keras.Sequential(layers),  # which were never called
        "model": model,
    }[kind]
    found = measure(given, images, labels)
    model.save(tmp_path / "mine.keras")
    file = targets.find(str(tmp_path / "mine.keras")).load()
    expected = measure(file, images, labels)
    for norm in ("l2", "linf"):
        np.testing.assert_allclose(
            found.distances(norm), expected.distances(norm), 1e-4
        )


def test_pixels_may_be_others(images):
    """Bytes, gray without a channel, and a model of -1 to 1."""
    gray = np.round(255 * images[..., 0]).astype(np.uint8)

    def score(pixels):
        assert pixels.shape[1:] == SHAPE[:2]
        return linear(WEIGHTS, OFFSET)((pixels + 1) / 2)

    found = measure(score, gray, np.zeros(COUNT, int), bounds=(-1.0, 1.0))
    expected = optimum(gray / np.float32(255), "l2")
    np.testing.assert_allclose(found.distances("l2"), expected, 0.03)
    assert found.images.shape == (COUNT, *SHAPE)


def test_a_model_stays_what_it_is(images):
    model = dense(100 * WEIGHTS, 100 * OFFSET, "softmax")
    before = model(images).numpy()
    found = measure(model, images, np.zeros(COUNT, int), probabilities=True)
    np.testing.assert_allclose(
        found.distances("l2"), optimum(images, "l2"), 0.03
    )
    np.testing.assert_array_equal(model(images), before)
    assert model.layers[-1].activation is keras.activations.softmax
    assert model.trainable_weights


def test_records_that_are_kept_are_gone_on_with(tmp_path):
    images, labels = NET.images.numpy(), NET.labels.numpy()
    model = dense()
    labels = np.argmax(model(images), 1)
    some = measure(model, images, labels, num_examples=4, results=tmp_path)
    (path,) = (tmp_path / "model" / "l2_ddn30").iterdir()
    stamp = path.stat().st_mtime_ns
    found = measure(model, images, labels, results=str(tmp_path))
    assert path.stat().st_mtime_ns == stamp
    assert len(list(path.parent.iterdir())) == 2
    np.testing.assert_array_equal(found.samples, np.arange(COUNT))
    np.testing.assert_array_equal(
        some.distances("l2"), found.distances("l2")[some.samples]
    )
    whole = measure(model, images, labels)
    np.testing.assert_allclose(
        whole.distances("l2"), found.distances("l2"), 1e-5
    )
    # Of what the folder has, what was asked for.
    again = measure(
        *(model, images, labels),
        num_examples=4,
        only=["linf_bim"],
        results=tmp_path,
    )
    assert again.records["attack"].unique().to_pylist() == ["linf_bim"]
    assert len(again.records) == 4
    assert len(results.read(tmp_path)) == 2 * COUNT
    for other, pixels in ((dense(offset=0.5), images), (model, images / 2)):
        with pytest.raises(ValueError, match="made with something else"):
            measure(other, pixels, labels, results=tmp_path)


def behind(layer, model):
    """The same weights behind something that has none."""
    images = keras.Input(SHAPE)
    return keras.Model(images, model(layer(images)))


def test_records_of_other_layers_are_refused(images, tmp_path):
    labels = np.zeros(COUNT, int)
    rescaled = keras.layers.Rescaling(1.0)
    measure(behind(rescaled, dense()), images, labels, results=tmp_path)
    # As in another process, layers have other names here.
    again = keras.layers.Rescaling(1.0)
    measure(behind(again, dense()), images, labels, results=tmp_path)
    other = keras.layers.Rescaling(0.99)
    with pytest.raises(ValueError, match="something else .settings: "):
        measure(behind(other, dense()), images, labels, results=tmp_path)


def test_records_of_other_operations_are_refused(images, tmp_path):
    """Keras keeps these in the graph alone, and no layer tells of them."""

    def times(factor):
        inputs = keras.Input(SHAPE)
        return keras.Model(inputs, dense()(inputs * factor))

    labels = np.zeros(COUNT, int)
    for _ in range(2):
        measure(times(1.0), images, labels, results=tmp_path)
    with pytest.raises(ValueError, match="something else .settings: "):
        measure(times(0.99), images, labels, results=tmp_path)


def test_attacks_that_were_fed_other_images_are_others(images, tmp_path):
    model, labels = dense(), np.zeros(COUNT, int)
    for shift in (0.3, 0.4):
        attack = attacks.DatasetAttack(distance=foolbox.distances.l2)
        fed = images + shift * (WEIGHTS.reshape(SHAPE) > 0)
        attack.feed(foolbox.TensorFlowModel(model, bounds=(0, 1)), fed)
        given = {"suite": {"fed": attack}, "only": (), "results": tmp_path}
        if shift == 0.3:
            found = measure(model, images, labels, **given)
            assert np.isfinite(found.distances("l2")).all()
            continue
        with pytest.raises(ValueError, match="something else .attack: "):
            measure(model, images, labels, **given)


def test_seeds_of_own_attacks_are_theirs(images):
    starts = {
        f"start_{seed}": attacks.LinfPGD(steps=1, seed=seed) for seed in (0, 1)
    }
    found = measure(
        *(dense(), images, np.zeros(COUNT, int)), suite=starts, only=(), seed=2
    )
    by_attack = {
        row["attack"]: row["seed"] for row in found.records.to_pylist()
    }
    assert by_attack == {"start_0": 2, "start_1": 3}
    first, second = (
        found.records.filter(pc.field("attack") == name)["distance_linf"]
        for name in starts
    )
    assert first != second


def test_an_attack_of_every_norm_needs_no_epsilons(images):
    found = measure(
        *(dense(), images, np.zeros(COUNT, int)),
        suite={"greedy": attacks.GreedyPixelsAttack()},
        only=(),
    )
    assert np.isfinite(found.distances("l0")).all()


def test_numbers_of_numpy_are_numbers(images):
    found = measure(
        *(dense(), images, np.zeros(COUNT, int)),
        only="linf_bim",
        seed=np.int64(1),
        thresholds={"linf": np.float32(0.125)},
        shard_size=np.int64(3),
        num_examples=np.int64(7),
    )
    assert len(found.samples) == 7
    assert found.records["seed"].unique().to_pylist() == [1]


def test_of_several_outputs_one_is_named_and_pixels_are_moved_back(images):
    """The model sees of a pixel the side of 0.5 that it is on."""
    images = np.where(images > 0.5, 1, 0).astype(np.float32)

    def score(pixels):
        seen = tf.stop_gradient(tf.round(pixels) - pixels) + pixels
        logits = linear(WEIGHTS, OFFSET)(seen)
        return {"class": tf.argmax(logits, 1), "logits": logits}

    given = score, images, np.argmax(score(images)["logits"], 1)
    plain, refined = (
        measure(*given, scores="logits", only="l2_ddn30", refine=refine)
        for refine in (False, True)
    )
    assert (refined.distances("l2") < plain.distances("l2")).all()
    # What flips a pixel is right behind the threshold.
    found = refined.adversarials("l2")
    np.testing.assert_allclose(found[found != images], 0.5, 1e-4)


def test_what_does_not_suit_a_model_is_left_out_of_a_suite(images, monkeypatch):
    some = ("l2_latent_descent", "l0_fmn")
    extra = {name: PRESETS["extra"][name] for name in some}
    monkeypatch.setitem(PRESETS, "extra", extra)
    given = dense(), images, np.zeros(COUNT, int)
    found = measure(*given, suite="extra", only=())
    assert found.records["attack"].unique().to_pylist() == ["l0_fmn"]


def test_attacks_may_be_somebodys_own(images):
    given = dense(), images, np.zeros(COUNT, int)
    mine = {
        "longer": attacks.L2ProjectedGradientDescentAttack(steps=3),
        "blind": attacks.L2AdditiveGaussianNoiseAttack(),
    }
    found = measure(*given, suite=mine, only=(), probes=True)
    assert "longer on model with twice the steps" in str(found)
    assert "| preset | own |" in str(found)


def test_a_constant_model_is_robust_and_an_alarm(images):
    found = measure(lambda images: 2 * constant(images), images, [0] * COUNT)
    assert np.isinf(found.distances("l2")).all()
    np.testing.assert_array_equal(found.adversarials("l2"), images)
    assert any(level == "alarm" for level, _ in found.signs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": not_a_number}, "scores that are not finite on 8 of 8"),
        (
            {"model": not_a_number, "probabilities": True},
            "scores that are not finite on 8 of 8",
        ),
        ({"model": lambda images: images}, "'model' gives .*expected scores"),
        ({"model": dense(activation="softmax")}, "gives probabilities, whose"),
        ({"labels": np.zeros(COUNT)}, r"labels in memory must be integers"),
        ({"labels": np.full(COUNT, 2)}, "2 classes, got labels from 2 to 2"),
        ({"images": np.full((COUNT, 6, 6), 2.0)}, r"must lie in \[0, 1\]"),
        ({"name": "dim"}, "'dim' is the name of a model of this project"),
        ({"name": "a/b"}, "or none of a folder"),
        ({"suite": {"a/b": PGD}, "only": ()}, "folder may be called 'a/b'"),
        ({"suite": {"all_l2": PGD}, "only": ()}, "not be called 'all_l2': rep"),
        ({"suite": {"a": PGD}, "only": "a"}, "only='a' is for presets"),
        (
            {"suite": {"a": foolbox.attacks.LinfPGD()}, "only": ()},
            "a must be an attack of dim_tf.attacks",
        ),
        (
            {
                "suite": {"a": PGD, "a_another_start": PGD},
                "only": (),
                "probes": True,
            },
            "several attacks or probes would be called a_another_start",
        ),
        ({"suite": "best"}, "suite 'best', expected one of paper, quick"),
        ({"only": ["l9_bim"]}, "l9_bim not among linf_bim"),
        ({"thresholds": {"linf": 8}}, "of linf:8 is beyond every image"),
        ({"thresholds": {"l3": 0.1}}, "got 'l3:0.1'"),
        ({"thresholds": {"linf": "8/255"}}, "got 'linf:8/255'"),
        ({"suite": {}, "only": ()}, "at least one attack, got none"),
        ({"model": integers()}, "takes uint8, along which there are no grad"),
        ({"num_examples": 9}, "from 1 to 8, .* got 9"),
        ({"num_examples": 0}, "from 1 to 8, .* got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**31}, "seed must be at most .*, got 2147483648"),
        ({"shard_size": 0}, "shard_size must be at least 1, got 0"),
        ({"xla": "On"}, "xla must be on, off or auto, got 'On'"),
        ({"bounds": (1.0, 0.0)}, "must be ascending"),
        ({"bounds": (0.0, np.inf)}, "and finite, got"),
        ({"scores": "logits"}, "have no names; leave out"),
        ({"model": constant, "results": "x"}, "by its weights, and it shows n"),
        ({"model": "mine.keras"}, "got 'mine.keras'; files are for `python -m"),
        (
            {"model": lambda images: images.no_such_thing},
            r"'model' fails on images \(None, 6, 6, 1\): (.|\n)*no_such_thing",
        ),
        (
            {"suite": "extra", "only": "l2_latent_descent"},
            "needs a model that reconstructs its input",
        ),
    ],
)
def test_what_cannot_be_measured_is_said(changes, message, images):
    given = {"model": dense(), "images": images, "labels": np.zeros(COUNT, int)}
    with pytest.raises(ValueError, match=message):
        measure(**given | changes)


def test_what_is_found_is_said_unless_it_must_not(images, capsys):
    labels = np.zeros(COUNT, int)
    measure(dense(), images, labels, verbose=True)
    assert "model: clean accuracy 100.0% on 8 images" in capsys.readouterr().out
    measure(dense(), images, labels)
    assert not capsys.readouterr().out


@pytest.fixture(params=[True, False], ids=["on", "off"])
def tensor_float_32(request):
    before = precision.tensor_float_32_execution_enabled()
    precision.enable_tensor_float_32_execution(request.param)
    yield request.param
    precision.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        (linear(WEIGHTS, OFFSET), contextlib.nullcontext()),
        (not_a_number, pytest.raises(ValueError, match="not finite")),
    ],
    ids=["sound", "sick"],
)
def test_attacks_alone_do_without_tensor_float_32(
    score, outcome, tensor_float_32, images
):
    seen = []

    def model(images):
        seen.append(precision.tensor_float_32_execution_enabled())
        return score(images)

    with outcome:
        measure(model, images, np.zeros(COUNT, int), only="l2_ddn30")
    assert not seen[-1]
    assert precision.tensor_float_32_execution_enabled() == tensor_float_32
