"""What is asked of the evaluate command arrives, and what fails is said."""

import forked
import keras
import numpy as np
import pytest
from test_commands import error_of

from dim_tf.attacks.suite import PRESETS
from dim_tf.evaluation import results
from dim_tf.models import foreign
from dim_tf.models import wrapping

SHAPE = (6, 5, 1)
COUNT = 5


@pytest.fixture(scope="module")
def run():
    """Function that runs a command; returns the finished process."""
    with forked.commands() as run:
        yield run


def test_attacks_are_listed_with_all_that_they_do(run):
    process = run("evaluate", "--list_attacks")
    assert process.returncode == 0, process.stderr
    rows = {}
    for line in process.stdout.splitlines():
        words = line.replace("│", " ").split()
        rows.setdefault(words[0] if words else "", []).append(" ".join(words))
    (pointwise,) = rows["l0_pointwise_x10"]
    assert pointwise == "l0_pointwise_x10 l0 decisions PointwiseAttack() x10"
    for preset, specs in PRESETS.items():
        assert preset in rows
        for name, spec in specs.items():
            settings = repr(spec.attack)
            assert any(settings in row for row in rows[name])
            alone = [row.endswith("the threshold alone") for row in rows[name]]
            assert any(alone) == spec.at_threshold


def model_of_two():
    """Brightness as two classes, and which of them it is."""
    inputs = keras.Input(SHAPE)
    hidden = keras.layers.Flatten()(inputs / 255.0)
    likely = keras.layers.Dense(2, "softmax")(hidden)
    return keras.Model(
        inputs, {"likely": likely, "which": keras.ops.argmax(likely, 1)}
    )


def write(folder, generator, **models):
    """Models, and images whose labels are the first one's; their flags."""
    images = generator.integers(0, 256, (COUNT, *SHAPE), np.uint8)
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    (first, *_) = models.values()
    found = first(images.astype(np.float32))
    labels = found["which"].numpy() if isinstance(found, dict) else [0] * COUNT
    np.savez(folder / "images.npz", images=images, labels=labels)
    paths = ",".join(f"{folder}/{name}.keras" for name in models)
    return (
        *(f"--models={paths}", f"--images={folder}/images.npz", "--xla=off"),
        *("--suite=quick", "--only=linf_bim", "--noprobes"),
        *(f"--num_examples={COUNT}", f"--results={folder}/results"),
    )


def test_a_model_is_read_as_flags_say(run, tmp_path, generator):
    arguments = write(tmp_path, generator, two=model_of_two())
    reading = ("--bounds=0..255", "--scores=likely", "--probabilities")
    process = run("evaluate", *arguments, *reading)
    assert process.returncode == 0, process.stderr
    assert "two: clean accuracy 100.0% on 5 images" in process.stdout
    records = results.read(tmp_path / "results")
    assert set(records["status"].to_pylist()) == {"success"}
    digest = foreign.digest(
        tmp_path / "two.keras",
        wrapping.Reading(bounds=(0, 255), probabilities=True, scores="likely"),
    )
    assert set(records[results.WEIGHTS.name].to_pylist()) == {digest}


def sick_model():
    model = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.set_weights([np.nan * weight for weight in model.get_weights()])
    return model


def test_a_model_that_cannot_be_attacked_is_an_error(run, tmp_path, generator):
    arguments = write(tmp_path, generator, sick=sick_model())
    process = run("evaluate", *arguments)
    assert process.returncode == 1
    why = "the model 'sick' gives scores that are not finite on 5 of 5 clean"
    assert f"sick cannot be attacked: {why}" in " ".join(process.stdout.split())
    assert error_of(process).startswith(f"error: sick: {why}")
    assert "records in" not in process.stdout
    assert not (tmp_path / "results").exists()
