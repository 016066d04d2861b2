import dataclasses

import foolbox
import keras
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import linear
from closed_forms import sizes
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model

from dim_tf import attacks
from dim_tf import data
from dim_tf import evaluate
from dim_tf.attacks.binarization import BinarizationRefinementAttack
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import planning
from dim_tf.evaluation import results
from dim_tf.evaluation import sweep
from dim_tf.layers import Binarize

COUNT = 8


def counting(threshold, included_in="upper"):
    """Class 1 where more than half of the pixels are above a threshold."""
    above = tf.greater_equal if included_in == "upper" else tf.greater
    ones = np.ones(PIXELS, np.float32)
    return foolbox_model(
        linear(
            ones, PIXELS / 2, lambda x: tf.cast(above(x, threshold), tf.float32)
        )
    )


@pytest.fixture
def pairs(generator):
    """Images of class 0 and starting points of class 1, some on the edge."""
    dark = generator.uniform(0, 0.6, (COUNT, *SHAPE)).astype(np.float32)
    bright = generator.uniform(0.3, 1, (COUNT, *SHAPE)).astype(np.float32)
    dark[:, 0, 0], bright[:, 1, 1] = 0.5, 0.5
    scores = counting(0.5)(tf.constant(np.concatenate([dark, bright])))
    expected = np.repeat([0, 1], COUNT)
    np.testing.assert_array_equal(np.argmax(scores, 1), expected)
    return dark, bright


def refined(attack, model, images, starts):
    labels = np.zeros(len(images), int)
    found, _, success = attack(
        model, images, labels, epsilons=None, starting_points=starts
    )
    return found.numpy(), success.numpy()


def test_no_pixel_could_be_closer(pairs):
    images, starts = pairs
    found, success = refined(
        BinarizationRefinementAttack(), counting(0.5), images, starts
    )
    assert success.all()
    np.testing.assert_array_equal(found >= 0.5, starts >= 0.5)
    turned = (starts >= 0.5) != (images >= 0.5)
    assert turned.any()
    needed = np.where(turned, abs(images - 0.5), 0)
    np.testing.assert_allclose(abs(found - images), needed, atol=1e-7)
    for norm in ("l0", "l1", "l2", "linf"):
        before, after = (sizes(norm, each - images) for each in (starts, found))
        assert (after <= before + 1e-6).all()


@pytest.mark.parametrize("included_in", ["lower", "upper"])
@pytest.mark.parametrize("threshold", [None, 0.45])
def test_foolbox_finds_the_same(pairs, threshold, included_in):
    images, starts = pairs
    model = counting(threshold or 0.5, included_in)
    settings = {"threshold": threshold, "included_in": included_in}
    found, success = refined(
        BinarizationRefinementAttack(**settings), model, images, starts
    )
    stock = foolbox.attacks.BinarizationRefinementAttack(
        distance=foolbox.distances.l2, **settings
    )
    expected, _, agreed = stock(
        model,
        tf.constant(images),
        tf.zeros(COUNT, tf.int64),
        epsilons=None,
        starting_points=tf.constant(starts),
    )
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(success, agreed)


def test_what_the_model_can_tell_apart_stays_as_it_was(pairs):
    images, starts = pairs
    found, success = refined(
        BinarizationRefinementAttack(threshold=0.3),
        counting(0.5),
        images,
        starts,
    )
    assert success.all()
    np.testing.assert_array_equal(found, starts)


def test_neither_misclassified_images_nor_bad_starts_touch_others(pairs):
    images, starts = pairs
    alone, _ = refined(
        BinarizationRefinementAttack(), counting(0.5), images, starts
    )
    images, given = images.copy(), starts.copy()
    images[1] = 0.9
    given[2] = images[2]
    found, success = refined(
        BinarizationRefinementAttack(), counting(0.5), images, given
    )
    np.testing.assert_array_equal(success, np.arange(COUNT) != 2)
    np.testing.assert_array_equal(found[1:3], images[1:3])
    others = np.delete(np.arange(COUNT), [1, 2])
    np.testing.assert_array_equal(found[others], alone[others])


def test_hostile_neighbors_change_nothing():
    check_rows_are_independent(BinarizationRefinementAttack(), starts=True)


def test_a_target_and_a_margin_hold(pairs):
    images, starts = pairs
    model = counting(0.5)
    targets = foolbox.criteria.TargetedMisclassification(np.ones(COUNT, int))
    found, _, success = BinarizationRefinementAttack()(
        model, images, targets, epsilons=None, starting_points=starts
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(np.argmax(model(found), 1), 1)
    leads = np.array(model(tf.constant(starts)))[:, 1]
    wanted = np.where(np.arange(COUNT) % 2, leads - 0.5, leads + 0.5)
    criterion = attacks.MarginMisclassification(np.zeros(COUNT, int), wanted)
    _, _, success = BinarizationRefinementAttack()(
        model, images, criterion, epsilons=None, starting_points=starts
    )
    np.testing.assert_array_equal(success, np.arange(COUNT) % 2 == 1)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (-0.4242, 2.8215), (1.0, 2.0)]
)
def test_a_model_may_scale_its_input(pairs, low, high, jit_compile):
    """And thereby round the nearest float to the other side."""
    score = linear(
        np.ones(PIXELS, np.float32),
        PIXELS / 2,
        lambda x: tf.cast(
            x * (high - low) + low >= (low + high) / 2, tf.float32
        ),
    )
    check_refined(foolbox_model(score), *pairs, jit_compile)


@pytest.mark.parametrize("included_in", ["lower", "upper"])
def test_a_threshold_of_zero_is_one_like_others(pairs, included_in):
    """Next to it are floats that TensorFlow takes for zero."""
    beyond = tf.greater_equal if included_in == "upper" else tf.greater
    score = linear(
        np.ones(PIXELS, np.float32),
        PIXELS / 2,
        lambda x: tf.cast(beyond(x, 0.0), tf.float32),
    )
    images, starts = (2 * each - 1 for each in pairs)
    model = foolbox_model(score, (-1.0, 1.0))
    check_refined(model, images, starts, False, included_in=included_in)


def check_refined(model, images, starts, jit_compile, **settings):
    attack = BinarizationRefinementAttack(jit_compile=jit_compile, **settings)
    found, success = refined(attack, model, images, starts)
    assert success.all()
    before, after = (sizes("l2", each - images) for each in (starts, found))
    assert (after < 0.8 * before).all()
    assert (abs(found - images) <= abs(starts - images)).all()


def test_misuse_is_told(pairs):
    with pytest.raises(ValueError, match="'lower' or 'upper', got 'both'"):
        BinarizationRefinementAttack(included_in="both")
    with pytest.raises(ValueError, match="finite number, got nan"):
        BinarizationRefinementAttack(threshold=np.nan)
    images, _ = pairs
    with pytest.raises(ValueError, match="give it some as starting_points"):
        refined(BinarizationRefinementAttack(), counting(0.5), images, None)


@pytest.fixture(scope="module")
def subject():
    """A linear model of binarized images, one of them misclassified."""
    generator = np.random.default_rng(0)
    inputs = keras.Input(data.IMAGE_SHAPE)
    scores = keras.layers.Dense(2, use_bias=False)(
        keras.layers.Flatten()(Binarize()(inputs))
    )
    model = keras.Model(inputs, {"scores": scores})
    weights = generator.normal(0, 0.1, (784, 2)).astype(np.float32)
    model.set_weights([weights])
    images = generator.uniform(size=(COUNT, *data.IMAGE_SHAPE))
    images = images.astype(np.float32)
    labels = ((images >= 0.5).reshape(COUNT, -1) @ weights).argmax(1)
    labels[3] = 1 - labels[3]
    return sweep.Subject(model, data.Examples(images, labels, np.arange(COUNT)))


@pytest.mark.parametrize(
    "attack",
    [
        attacks.L2BasicIterativeAttack(),
        attacks.L2DeepFoolAttack(),
        attacks.PointwiseAttack(),
    ],
)
def test_a_sweep_refines_what_an_attack_finds(subject, attack, tmp_path):
    spec = AttackSpec("an_attack", "gradients", attack)
    plain = planning.Cell("toy", "digest", "toys", "quick", spec, 0)
    cell = dataclasses.replace(plain, refined=True)
    before, after = (
        sweep.records(each, subject.model, subject.examples, jit_compile=False)
        for each in (plain, cell)
    )
    np.testing.assert_array_equal(before["status"], after["status"])
    found = after["status"] == "success"
    assert found.sum() == COUNT - 1
    closer = after["distance_l1"] < before["distance_l1"]
    np.testing.assert_array_equal(closer, found)
    assert (after["distance_l0"] <= before["distance_l0"]).all()
    for place in np.flatnonzero(found):
        image = subject.examples.images[place].ravel()
        moved = after["adversarial"][place] != image
        edge = abs(after["adversarial"][place][moved] - 0.5)
        np.testing.assert_allclose(edge, 0, atol=1e-7)
    (shard,) = planning.plan(tmp_path, [cell], COUNT, COUNT)
    results.write_shard(shard.path, after, cell.fingerprint)
    with pytest.raises(ValueError, match="refinement"):
        planning.plan(tmp_path, [plain], COUNT, COUNT)
    # As records were before there was a refinement.
    older = {**plain.fingerprint}
    del older["refinement"]
    results.write_shard(shard.path, before, older)
    assert not planning.plan(tmp_path, [plain], COUNT, COUNT)
    with pytest.raises(ValueError, match="refinement"):
        planning.plan(tmp_path, [cell], COUNT, COUNT)


@pytest.mark.parametrize("refine", [False, True])
def test_the_flag_reaches_every_cell(tmp_path, refine):
    settings = evaluate.EvaluateConfig(
        models="bi_dim", only="l2_bim", refine=refine
    )
    jobs = settings.campaign("mnist").jobs(settings.targets, tmp_path)
    assert [job.shard.cell.refined for job in jobs] == 4 * [refine]
