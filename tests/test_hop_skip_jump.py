import itertools

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import sizes
from closed_forms import sizes_over_optimum
from tiny_nets import NET
from tiny_nets import check_rows
from tiny_nets import check_rows_are_independent
from tiny_nets import draw_like_ours
from tiny_nets import final_state
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks.hop_skip_jump import HopSkipJumpAttack

SHORT = {"steps": 4, "initial_gradient_eval_steps": 45}
CONSTRAINTS = pytest.mark.parametrize("constraint", ["l2", "linf"])


@CONSTRAINTS
@pytest.mark.parametrize("evaluations", [1, 45])
def test_the_steps_are_foolbox_s(monkeypatch, constraint, evaluations):
    settings = {
        "steps": 3,
        "initial_gradient_eval_steps": evaluations,
        "constraint": constraint,
    }
    attack, first = HopSkipJumpAttack(**settings), slice(1, 2)
    starts = NET.others[first]
    state = final_state(attack, first, starting_points=starts)
    seeds, step = check_rows(attack, first).rows["seeds"], itertools.count()
    draw_like_ours(
        monkeypatch,
        seeds,
        lambda shape: [next(step), tf.range(shape[0])[None]],
    )
    expected = foolbox_result(
        foolbox.attacks.HopSkipJumpAttack(**settings),
        first,
        starting_points=starts,
    )
    np.testing.assert_allclose(state["point"], expected, 0, 1e-5)


@CONSTRAINTS
def test_it_comes_close_to_the_plane_of_a_linear_model(constraint):
    attack = HopSkipJumpAttack(steps=8, constraint=constraint)
    ratios = sizes_over_optimum(attack)
    assert ratios.min() >= 1 - 1e-5
    assert ratios.max() < 1.15


@CONSTRAINTS
def test_neighbors_change_nothing(constraint):
    attack = HopSkipJumpAttack(**SHORT, constraint=constraint)
    changes = check_rows_are_independent(attack, starts=True)
    assert not changes[1].any()


def test_the_closest_point_is_the_result():
    state = final_state(HopSkipJumpAttack(**SHORT), starting_points=NET.others)
    clean = NET.images.numpy().reshape(-1, PIXELS)
    result = sizes("l2", state["result"] - clean)
    last = sizes("l2", state["point"] - clean)
    assert (result <= last).all()
    assert (state["step"] == SHORT["steps"]).all()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="constraint must be one of l2, linf"):
        HopSkipJumpAttack(constraint="l1")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        HopSkipJumpAttack(steps=0)


@CONSTRAINTS
def test_a_start_just_below_a_threshold_is_not_lost(constraint):
    """From the white image to it and back there is a rounding."""

    def bright(images):
        is_bright = tf.cast(images[:, 0, 0] >= 0.5, tf.float32)
        return tf.concat([is_bright, 1.0 - is_bright], 1)

    images = np.ones((1, 2, 2, 1), np.float32)
    starts = images.copy()
    starts[0, 0, 0] = np.nextafter(np.float32(0.5), np.float32(0))
    assert images[0, 0, 0] + (starts - images)[0, 0, 0] == 0.5
    result, _, success = HopSkipJumpAttack(**SHORT, constraint=constraint)(
        foolbox_model(bright),
        images,
        np.zeros(1, int),
        epsilons=None,
        starting_points=starts,
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(result, starts)
