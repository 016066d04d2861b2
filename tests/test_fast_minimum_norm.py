import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import flat
from closed_forms import linear
from closed_forms import sizes
from closed_forms import sizes_over_optimum
from foolbox.attacks import fast_minimum_norm as foolbox_fmn
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import final_state
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks.fast_minimum_norm import L0FMNAttack
from dim_tf.attacks.fast_minimum_norm import L1FMNAttack
from dim_tf.attacks.fast_minimum_norm import L2FMNAttack
from dim_tf.attacks.fast_minimum_norm import LInfFMNAttack

ATTACKS = [L0FMNAttack, L1FMNAttack, L2FMNAttack, LInfFMNAttack]
STEPS = 40


class ProjectingL2FMNAttack(foolbox_fmn.L2FMNAttack):
    def project(self, x, x0, epsilon):
        norms = foolbox.devutils.flatten(x - x0).norms.l2(axis=-1)
        factor = (epsilon / norms.maximum(1e-12)).minimum(1)
        return x0 + (x - x0) * foolbox.devutils.atleast_kd(factor, x.ndim)


class ExactL0FMNAttack(foolbox_fmn.L0FMNAttack):
    def project(self, x, x0, epsilon):
        return super().project(x, x0, epsilon - 1)


REPAIRED = {
    L0FMNAttack: ExactL0FMNAttack,
    L1FMNAttack: foolbox_fmn.L1FMNAttack,
    L2FMNAttack: ProjectingL2FMNAttack,
    LInfFMNAttack: foolbox_fmn.LInfFMNAttack,
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_the_steps_are_foolbox_s_where_that_projects_rightly(kind):
    expected = foolbox_result(REPAIRED[kind](steps=STEPS))
    state = final_state(kind(steps=STEPS, overshoot=0.0))
    result, norm = state["result"], kind.norm
    clean = NET.images.numpy().reshape(-1, PIXELS)
    np.testing.assert_allclose(
        sizes(norm, result - clean), sizes(norm, expected - clean), 0, 1e-5
    )
    # In Linf many perturbations are of the same size, up to rounding.
    tolerance = 0.01 if norm == "linf" else 1e-5
    np.testing.assert_allclose(result, expected, 0, tolerance)


@pytest.mark.parametrize("kind", ATTACKS)
def test_all_images_are_fooled_with_an_overshoot(kind):
    adversarials, _, success = kind()(
        MODEL, NET.images, NET.labels, epsilons=None
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(
        np.argmax(NET(adversarials), 1) != NET.labels, True
    )


@pytest.mark.parametrize("kind", [L1FMNAttack, L2FMNAttack, LInfFMNAttack])
def test_it_finds_the_plane_of_a_linear_model(kind):
    ratios = sizes_over_optimum(kind(steps=200))
    assert ratios.min() >= 1 - 1e-5
    assert ratios.max() < 1.05


def test_l0_finds_the_fewest_pixels_of_a_linear_model():
    weights = np.full(PIXELS, 0.1, np.float32)
    weights[:5] = 1.0
    images = np.full((2, *SHAPE), 0.5, np.float32)
    offset = images[0].ravel() @ weights + 1.2
    adversarials, _, success = L0FMNAttack()(
        foolbox_model(linear(weights, offset)),
        images,
        np.zeros(2, int),
        epsilons=[2, 3],
    )
    assert success.numpy().tolist() == [[False] * 2, [True] * 2]
    assert (sizes("l0", adversarials[1] - images) == 3).all()


@pytest.mark.parametrize("kind", ATTACKS)
def test_neighbors_change_nothing(kind):
    changes = check_rows_are_independent(kind(steps=STEPS))
    assert not changes[1].any()


@pytest.mark.parametrize("kind", ATTACKS)
def test_without_a_gradient_it_fails_with_the_image_itself(kind):
    def rounded(images):
        return NET(tf.round(images))

    for score in (flat, rounded):
        labels = tf.argmax(score(NET.images), 1)
        adversarials, _, success = kind(steps=5)(
            foolbox_model(score), NET.images, labels, epsilons=None
        )
        assert not success.numpy().any()
        np.testing.assert_array_equal(adversarials, NET.images)


@pytest.mark.parametrize("kind", ATTACKS)
def test_without_scores_it_stays_where_it_is(kind):
    def no_scores(images):
        return NET(images) * np.nan

    state = final_state(kind(steps=5), model=foolbox_model(no_scores))
    assert not state["perturbation"].any()
    assert np.isfinite(state["epsilon"]).all()


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_target_is_reached(kind):
    targets = (NET.labels + 1) % 3
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    adversarials, _, success = kind()(
        MODEL, NET.images, criterion, epsilons=None
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(np.argmax(NET(adversarials), 1), targets)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        L1FMNAttack(steps=0)
