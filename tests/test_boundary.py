import itertools

import foolbox
import numpy as np
import pytest
from closed_forms import sizes_over_optimum
from tiny_nets import NET
from tiny_nets import check_rows
from tiny_nets import check_rows_are_independent
from tiny_nets import draw_like_ours
from tiny_nets import final_state
from tiny_nets import foolbox_result

from dim_tf.attacks.boundary import BoundaryAttack

# Verdicts come often, so that step sizes adapt within a short walk.
SHORT = {"steps": 200, "update_stats_every_k": 1}


@pytest.mark.parametrize(
    ("row", "settings", "grows"),
    [
        (0, {"spherical_step": 0.1, "source_step": 0.1}, (True, False)),
        (2, {"spherical_step": 0.3, "source_step": 0.01}, (False, True)),
    ],
)
def test_the_walk_is_foolbox_s_step_by_step(monkeypatch, row, settings, grows):
    settings = {"steps": 140, "update_stats_every_k": 1, **settings}
    attack, only = BoundaryAttack(**settings), slice(row, row + 1)
    starts = NET.others[only]
    state = final_state(attack, only, starting_points=starts)
    seeds, step = check_rows(attack, only).rows["seeds"], itertools.count()
    draw_like_ours(monkeypatch, seeds, lambda shape: [next(step)])
    expected = foolbox_result(
        foolbox.attacks.BoundaryAttack(**settings), only, starting_points=starts
    )
    np.testing.assert_allclose(state["result"], expected, 0, 1e-5)
    # Both rates had their say, one for longer steps, one for shorter ones.
    spherical = state["spherical_step"][0, 0] / settings["spherical_step"]
    source = state["source_step"][0, 0] / settings["source_step"] / spherical
    np.testing.assert_array_equal(np.array([spherical, source]) > 1, grows)
    assert not np.isclose([spherical, source], 1).any()


def test_it_comes_close_to_the_plane_of_a_linear_model():
    attack = BoundaryAttack(steps=4000, update_stats_every_k=1)
    ratios = sizes_over_optimum(attack)
    assert ratios.min() >= 1 - 1e-5
    assert np.median(ratios) < 1.1


def test_neighbors_change_nothing():
    check_rows_are_independent(BoundaryAttack(**SHORT), starts=True)


def test_a_row_that_converged_stops():
    attack = BoundaryAttack(**SHORT, source_step_convergance=8e-3)
    state = final_state(attack, starting_points=NET.others)
    converged = state["source_step"][:, 0] < 8e-3
    assert converged.any()
    np.testing.assert_array_equal(converged, state["step"] < attack.steps)


@pytest.mark.parametrize("setting", ["steps", "update_stats_every_k"])
def test_settings_are_checked(setting):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1"):
        BoundaryAttack(**{setting: 0})
