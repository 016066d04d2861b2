import collections
import dataclasses
import pathlib
import pickle

import foolbox
import numpy as np
import pytest

from dim_tf import attacks
from dim_tf.attacks import suite
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.spec import EPSILONS
from dim_tf.evaluation import thresholds

GOLDEN = pathlib.Path(__file__).with_name("suite.txt")


def described():
    return "".join(
        f"{preset} {spec.name} {spec.access} {spec.attack!r} x{spec.repeats}"
        f"{''.join(f' {epsilon}' for epsilon in spec.grid)}\n"
        for preset, specs in suite.PRESETS.items()
        for spec in specs.values()
    )


def test_hyperparameters_are_frozen():
    # After a deliberate change: write `described()` to the file.
    assert described() == GOLDEN.read_text()


def test_what_is_sent_elsewhere_shares_the_graphs_there():
    for specs in suite.PRESETS.values():
        for spec in specs.values():
            copy = pickle.loads(pickle.dumps(spec.attack))
            assert (copy, hash(copy)) == (spec.attack, hash(spec.attack))
            assert copy.norm == spec.norm


def test_distances_that_differ_make_attacks_differ():
    known = attacks.InversionAttack(distance=foolbox.distances.l2)
    assert known == attacks.InversionAttack(
        distance=foolbox.distances.LpDistance(2)
    )
    assert known != attacks.InversionAttack(distance=foolbox.distances.l1)
    with pytest.raises(ValueError, match="LpDistance of .*, got LpDistance"):
        attacks.InversionAttack(distance=foolbox.distances.LpDistance(3))


def test_the_paper_s_counts():
    norms = collections.Counter(spec.norm for spec in suite.PAPER.values())
    assert norms == {"l2": 22, "linf": 12, "l1": 6, "l0": 2}


@pytest.mark.parametrize("preset", suite.PRESETS)
def test_names_begin_with_the_norm(preset):
    for name, spec in suite.PRESETS[preset].items():
        assert name == spec.name
        assert name.startswith(f"{spec.norm}_")


def test_names_mean_one_attack():
    everything = {}
    for specs in suite.PRESETS.values():
        for name, spec in specs.items():
            assert everything.setdefault(name, spec) == spec


def test_epsilon_grids_ascend_and_hold_the_paper_s_threshold():
    for norm, grid in EPSILONS.items():
        assert thresholds.PAPER[norm] in grid
        assert (np.diff(grid) > 0).all()
    for spec in suite.PAPER.values():
        fixed = isinstance(spec.attack, FixedEpsilon)
        assert spec.epsilons == (EPSILONS[spec.norm] if fixed else (None,))


def test_a_threshold_of_one_s_own_is_among_the_epsilons():
    for norm, epsilon in (("l2", 10.0), ("l1", 0.5), ("linf", 1 / 255)):
        spec = suite.PAPER[f"{norm}_bim"].including(epsilon)
        assert set(spec.epsilons) == {*EPSILONS[norm], epsilon}
        assert (np.diff(spec.epsilons) > 0).all()
    # The paper's change nothing, so that records of them go on to count.
    for name, spec in suite.PAPER.items():
        paper = spec.including(thresholds.PAPER[spec.norm])
        assert repr(paper.epsilons) == repr(spec.epsilons), name
    fab, apgd = (suite.AUTOATTACK[f"linf_{n}"] for n in ("fab_t", "apgd_t"))
    assert fab.including(0.1).epsilons == (None,)
    assert not fab.at_threshold
    # Too long for a grid of epsilons.
    assert apgd.at_threshold
    assert apgd.including(0.1).epsilons == (0.1,)
    assert apgd.including(0.1).including(0.2).epsilons == (0.1,)
    challenge = suite.EXTRA["linf_pgd40_challenge"]
    assert challenge.including(0.1).epsilons == (0.3,)


def test_runnable_sets_how_to_run_and_nothing_else():
    spec = suite.PAPER["l0_pointwise_x10"]
    repeated = spec.runnable(jit_compile=True, seed=3)
    assert isinstance(repeated, foolbox.attacks.base.Repeated)
    assert repeated.times == 10
    expected = dataclasses.replace(spec.attack, jit_compile=True, seed=3)
    assert repeated.attack == expected
    assert repeated.attack.seed == 3
    assert suite.PAPER["l2_pgd"].runnable() == suite.PAPER["l2_pgd"].attack


def test_repeats_are_of_attacks_without_a_grid():
    row = suite.PAPER["linf_pgd"]
    with pytest.raises(ValueError, match="5 for linf_pgd, which takes others"):
        dataclasses.replace(row, repeats=5)
