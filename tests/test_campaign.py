"""What a campaign asks of its attacks, and what checks them."""

import pytest

from dim_tf.attacks.spec import EPSILONS
from dim_tf.attacks.suite import AUTOATTACK
from dim_tf.attacks.suite import EXTRA
from dim_tf.attacks.suite import PAPER
from dim_tf.evaluation import targets
from dim_tf.evaluation import thresholds
from dim_tf.evaluation.campaign import Campaign

LIMIT = 0.07  # which is in no grid
ATTACKS = [PAPER["linf_bim"], PAPER["linf_fgsm"], AUTOATTACK["linf_apgd_ce"]]


def cells_of(attacks, limit):
    """Cells of a campaign of another limit and seed, by name."""
    campaign = Campaign(
        preset="mixed",
        attacks=attacks,
        num_examples=10,
        dataset="toys",
        limits=thresholds.merged({"linf": limit}),
        seed=5,
    )
    target = targets.Target("toy", "digest", lambda: None)
    return {cell.spec.name: cell for cell in campaign.cells(target)}


@pytest.fixture
def cells():
    return cells_of(ATTACKS, LIMIT)


def test_attacks_are_called_with_the_thresholds_that_are_asked_for(cells):
    grid = tuple(sorted((LIMIT, *EPSILONS["linf"])))
    assert cells["linf_bim"].spec.epsilons == grid
    assert cells["linf_fgsm"].spec.epsilons == grid
    assert cells["linf_apgd_ce"].spec.epsilons == (LIMIT,)
    for spec in ATTACKS:
        cell = cells[spec.name]
        assert (cell.preset, cell.seed) == ("mixed", 5)
        assert cell.spec.attack == spec.attack


def test_iterated_gradient_descent_alone_is_probed(cells):
    assert cells.keys() == {
        *("linf_bim", "linf_fgsm", "linf_apgd_ce"),
        "linf_bim_twice_the_steps",
        "linf_bim_another_start",
        "linf_bim_threshold_alone",
    }


def test_what_is_called_with_the_threshold_alone_is_not_so_once_more():
    name = "linf_pgd40_challenge"
    assert EXTRA[name].epsilons == (0.3,)
    for limit, more in ((0.3, set()), (0.2, {f"{name}_threshold_alone"})):
        assert cells_of([EXTRA[name]], limit).keys() == more | {
            *(name, f"{name}_twice_the_steps", f"{name}_another_start")
        }


def test_each_probe_changes_one_thing(cells):
    own = cells["linf_bim"]
    longer = cells["linf_bim_twice_the_steps"]
    random = cells["linf_bim_another_start"]
    alone = cells["linf_bim_threshold_alone"]
    assert {probe.preset for probe in (longer, random, alone)} == {"probe"}
    assert longer.spec.attack.steps == 2 * own.spec.attack.steps == 20
    assert [own.seed, longer.seed, random.seed, alone.seed] == [5, 5, 6, 5]
    starts = [
        cell.spec.attack.random_start for cell in (own, longer, random, alone)
    ]
    assert starts == [False, False, True, False]
    assert random.spec.attack.steps == alone.spec.attack.steps == 10
    assert longer.spec.epsilons == random.spec.epsilons == own.spec.epsilons
    assert alone.spec.epsilons == (LIMIT,)
