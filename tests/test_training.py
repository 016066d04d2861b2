"""Training: what it reaches, and that nothing is lost when it is killed."""

import dataclasses
import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from conftest import SMALL_DIM

from dim_tf import circumstances
from dim_tf import data
from dim_tf import metrics
from dim_tf import training
from dim_tf.models import analysis_by_synthesis as abs_model
from dim_tf.models import cnn
from dim_tf.models import madry
from dim_tf.training import adversarial
from dim_tf.training import analysis_by_synthesis
from dim_tf.training import classifier
from dim_tf.training import dim
from dim_tf.training import loop

RECIPE = dim.DimRecipe(denoiser_epochs=2, internal_epochs=3)


class Kill(Exception):
    """Stands for a killed process."""


class KillAt(loop.Callback):
    """Kills the training at a step of a stage."""

    def __init__(self, stage, step):
        self.where = (stage, step)

    def on_log(self, stage, step, scalars):
        if (stage.name, step) == self.where:
            raise Kill


def train(
    dataset,
    folder,
    model="dim",
    recipe=RECIPE,
    callbacks=(),
    sizes=SMALL_DIM,
    **changes,
):
    run = training.TrainConfig(
        model=model,
        batch_size=50,
        xla=False,  # compiling would take longer than training
        run_dir=str(folder),
        checkpoint_every=7,
        log_every=1,
    )
    run = dataclasses.replace(run, **changes)
    return training.prepare(run, sizes, recipe, dataset).run(callbacks)


@pytest.fixture
def train_dim(tmp_path, tiny_mnist):
    """Trains a small model in a folder of the given name."""
    return lambda name, **given: train(tiny_mnist, tmp_path / name, **given)


@pytest.fixture(scope="module")
def finished(tiny_mnist, tmp_path_factory):
    """Folder of a training that nothing interrupted, and what it gave."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train(tiny_mnist, folder)


@pytest.fixture
def uninterrupted(finished):
    return finished[1].model


@pytest.fixture
def copied(finished, tmp_path):
    """What the finished training gave, a copy of which is in the folder `run`.

    It may be damaged, or gone on with.
    """
    shutil.copytree(finished[0], tmp_path / "run")
    return finished[1]


def weights_equal(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("stage", "step"),
    [("denoiser", 3), ("denoiser", 20), ("internal_models", 16)],
)
def test_killed_and_resumed_equals_uninterrupted(
    train_dim, uninterrupted, stage, step
):
    with pytest.raises(Kill):
        train_dim("killed", callbacks=[KillAt(stage, step)])
    resumed = train_dim("killed")
    assert weights_equal(resumed.model, uninterrupted)


OF_CLASSIFIER = {
    "model": "cnn",
    "sizes": cnn.CnnConfig(),
    "recipe": classifier.ClassifierRecipe(classifier_epochs=2),
}
OF_MADRY = {
    "model": "madry",
    "sizes": madry.MadryConfig(4, 8, 32),
    "recipe": adversarial.AdversarialRecipe(
        adversarial_epochs=2, adversarial_steps=2
    ),
}
OF_ABS = {
    "model": "abs",
    "sizes": abs_model.AbsConfig(
        abs_latent_units=3, abs_width=0.25, abs_samples=50, abs_steps=3
    ),
    "recipe": analysis_by_synthesis.AbsRecipe(
        abs_epochs=2, abs_scale_images=384
    ),
    "batch_size": 5,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "stage", "step"),
    [
        (OF_CLASSIFIER, "classifier", 12),
        (OF_MADRY, "classifier", 12),
        (OF_ABS, "autoencoders", 16),
        (OF_ABS | {"checkpoint_every": 2}, "scales", 3),
    ],
    ids=lambda value: value["model"] if isinstance(value, dict) else None,
)
def test_whatever_is_trained_goes_on_where_it_was_killed(
    train_dim, settings, stage, step
):
    whole = train_dim("whole", **settings)
    with pytest.raises(Kill):
        train_dim("killed", callbacks=[KillAt(stage, step)], **settings)
    resumed = train_dim("killed", **settings)
    assert weights_equal(resumed.model, whole.model)


def test_the_same_training_goes_on_in_the_same_process(
    tiny_mnist, tmp_path, uninterrupted
):
    run = training.TrainConfig(
        batch_size=50, xla=False, run_dir=str(tmp_path / "r"), log_every=1
    )
    plan = training.prepare(run, SMALL_DIM, RECIPE, tiny_mnist)
    # Before there is any checkpoint but that of the beginning.
    with pytest.raises(Kill):
        plan.run([KillAt("denoiser", 3)])
    assert weights_equal(plan.run().model, uninterrupted)


def test_one_device_is_mirrored_by_none(train_dim, uninterrupted, monkeypatch):
    # However many GPUs there are.
    one = functools.partial(tf.distribute.MirroredStrategy, ["cpu:0"])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", one)
    default = tf.distribute.get_strategy()
    assert training.make_strategy("mirrored") is default
    alone = train_dim("alone", strategy="mirrored")
    assert alone.settings["replicas"] == 1
    assert weights_equal(alone.model, uninterrupted)


def test_the_seed_decides_the_weights(train_dim, uninterrupted):
    assert weights_equal(train_dim("again").model, uninterrupted)
    assert not weights_equal(train_dim("other", seed=1).model, uninterrupted)


def test_what_xla_compiles_learns_the_same(train_dim, monkeypatch):
    function, compiled = tf.function, []

    def spy(*given, jit_compile=None, **settings):
        compiled.append(jit_compile)
        return function(*given, jit_compile=jit_compile, **settings)

    short = dim.DimRecipe(denoiser_epochs=1, internal_epochs=1)
    plain = train_dim("plain", recipe=short).model
    monkeypatch.setattr(tf, "function", spy)
    fused = train_dim("fused", recipe=short, xla=True).model
    assert compiled.count(True) == 2  # a step of each stage
    for mine, its in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, 0, 1e-4)


def test_a_finished_run_is_not_trained_again(train_dim, copied):
    steps = []

    class Count(loop.Callback):
        def on_log(self, stage, step, scalars):
            steps.append(step)

    again = train_dim("run", callbacks=[Count()])
    assert not steps
    assert again.seconds == copied.seconds > 0
    assert weights_equal(again.model, copied.model)


class Losses(loop.Callback):
    """Keeps the mean training loss of every logged step, by stage."""

    def __init__(self):
        self.by_stage = {}

    def on_log(self, stage, step, scalars):
        self.by_stage.setdefault(stage.name, []).append(scalars["loss"])


@pytest.mark.parametrize(
    ("model", "stages"),
    [
        ("dim", {"denoiser", "internal_models"}),
        ("im", {"internal_models"}),
        ("single_im", {"internal_models"}),
        ("dn_single_im", {"denoiser", "internal_models"}),
    ],
)
def test_every_stage_of_every_variant_learns(train_dim, model, stages):
    losses = Losses()
    quick = dataclasses.replace(
        RECIPE, denoiser_learning_rate=1e-2, internal_learning_rate=1e-2
    )
    train_dim("run", model=model, recipe=quick, callbacks=[losses])
    assert losses.by_stage.keys() == stages
    for values in losses.by_stage.values():
        assert np.mean(values[-5:]) < 0.9 * np.mean(values[:5])


def test_classifier_learns(tiny_mnist, tmp_path):
    run = training.TrainConfig(
        model="cnn", batch_size=50, run_dir=str(tmp_path / "run")
    )
    recipe = classifier.ClassifierRecipe(classifier_epochs=3)
    plan = training.prepare(run, cnn.CnnConfig(), recipe, tiny_mnist)
    trained = plan.run()
    examples = data.load(tiny_mnist, "test")
    assert metrics.accuracy(trained.model, examples) > 0.95


def test_restore_gives_the_trained_model(copied, tmp_path, tiny_mnist):
    restored = training.restore(tmp_path / "run", tiny_mnist)
    assert weights_equal(restored.model, copied.model)
    assert restored.settings == copied.settings
    assert restored.seconds == copied.seconds
    assert restored.made_with == copied.made_with


def test_a_run_tells_of_the_machine_that_it_was_begun_on(
    train_dim, copied, monkeypatch
):
    monkeypatch.setattr(circumstances, "hardware", lambda: "another machine")
    assert train_dim("run").made_with == copied.made_with
    assert copied.made_with["hardware"] != "another machine"


def test_settings_without_effect_do_not_stop_a_run(train_dim):
    train_dim("run", model="im")
    other = dataclasses.replace(RECIPE, denoiser_epochs=77)
    train_dim("run", model="im", recipe=other)


@pytest.mark.parametrize(("killed_at", "kept"), [(10, 7), (1, 0)])
def test_restore_refuses_an_unfinished_run(
    killed_at, kept, train_dim, tmp_path, tiny_mnist
):
    with pytest.raises(Kill):
        train_dim("run", callbacks=[KillAt("denoiser", killed_at)])
    with pytest.raises(ValueError, match=f"stopped at step {kept} of 20"):
        training.restore(tmp_path / "run", tiny_mnist)


@pytest.mark.usefixtures("copied")
def test_restore_names_settings_that_it_does_not_know(tmp_path, tiny_mnist):
    path = tmp_path / "run" / "settings.json"
    settings = json.loads(path.read_text())
    settings["recipe"]["of_tomorrow"] = 1
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="does not know: of_tomorrow; use it"):
        training.restore(tmp_path / "run", tiny_mnist)


def test_restore_refuses_a_folder_without_run(tmp_path, tiny_mnist):
    with pytest.raises(FileNotFoundError, match="is no training"):
        training.restore(tmp_path, tiny_mnist)


@pytest.mark.usefixtures("copied")
def test_another_recipe_in_the_same_folder_is_an_error(train_dim):
    other = dataclasses.replace(RECIPE, own_class_weight=2.0)
    with pytest.raises(
        ValueError, match="own_class_weight=1.0 there, 2.0 here"
    ):
        train_dim("run", recipe=other)


def test_a_loss_that_is_not_finite_stops_with_the_steps(train_dim):
    wild = dataclasses.replace(RECIPE, denoiser_learning_rate=1e38)
    with pytest.raises(
        FloatingPointError,
        match="denoiser .* nan between steps 1 and 2",
    ):
        train_dim("run", recipe=wild)


def test_settings_say_what_the_model_is(train_dim, tmp_path):
    train_dim("run", model="single_im")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["sizes"]["encoders"] == 1
    assert settings["sizes"]["denoiser"] is False


def test_internal_loss_closed_form():
    # One pixel per image is lit; model 3 answers 0.5 everywhere, all others
    # are black.
    targets = np.zeros((2, 28, 28, 1), np.float32)
    targets[:, 14, 14] = 1.0
    reconstructions = np.zeros((2, 10, 28, 28, 1), np.float32)
    reconstructions[:, 3] = 0.5
    labels = tf.constant([3, 4], tf.int64)
    loss = dim.internal_loss(reconstructions, targets, labels, 9.0).numpy()
    everywhere = 784 * 0.25
    own = (783 * 0.25 + 0.25) * 9 / 18  # class 3: lit pixel missed by 0.5
    other = (9 * 1.0 + everywhere) / 18  # class 4: its own model is black
    np.testing.assert_allclose(loss, [own, other], rtol=1e-6)


def test_a_batch_larger_than_the_data_is_refused(train_dim, tmp_path):
    with pytest.raises(ValueError, match="at most the 500 .*, got 501"):
        train_dim("run", batch_size=501)
    # Of each class there are fewer.
    with pytest.raises(ValueError, match="'autoencoders' must be .* got 500"):
        train_dim("run", **{**OF_ABS, "batch_size": 500})
    assert not (tmp_path / "run").exists()


class ManyDevices:
    num_replicas_in_sync = 2


def test_a_search_is_trained_on_one_device(tiny_mnist):
    run = training.TrainConfig(model="abs", strategy="mirrored")
    with pytest.raises(ValueError, match="abs trains on one device, and .* 2"):
        training.prepare(
            run,
            OF_ABS["sizes"],
            OF_ABS["recipe"],
            tiny_mnist,
            strategy=ManyDevices(),
        )


def test_stages_differ_in_order_and_noise(tiny_mnist):
    recipe = dataclasses.replace(RECIPE, internal_noise=RECIPE.denoiser_noise)
    run = training.TrainConfig(batch_size=50)
    plan = training.prepare(run, SMALL_DIM, recipe, tiny_mnist)
    denoiser, internal_models = (
        next(iter(stage.batches(0))) for stage in plan.stages
    )
    assert not np.array_equal(denoiser[3], internal_models[3])  # labels


@pytest.mark.usefixtures("copied")
def test_a_damaged_checkpoint_is_named(train_dim, tmp_path):
    for path in (tmp_path / "run/checkpoints/denoiser").glob("ckpt-*"):
        path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="denoiser.* is damaged or of another"):
        train_dim("run")


@pytest.mark.usefixtures("copied")
def test_damaged_settings_are_named(train_dim, tmp_path):
    (tmp_path / "run" / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json is damaged"):
        train_dim("run")
