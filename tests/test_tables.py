import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import stats

from dim_tf.attacks import suite
from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds
from dim_tf.reporting import numbers
from dim_tf.reporting import paper
from dim_tf.reporting import statistics
from dim_tf.reporting import tables


def records(*cells, preset="quick", dataset="mnist"):
    """Records of (model, attack, norm, distances) on samples 5, 6, ..."""
    rows = [
        {
            "model": model,
            "attack": attack,
            "norm": norm,
            "sample": 5 + number,
            "preset": preset,
            "dataset": dataset,
            f"distance_{norm}": distance,
        }
        for model, attack, norm, distances in cells
        for number, distance in enumerate(distances)
    ]
    return pa.Table.from_pylist(rows, results.READ_SCHEMA)


def cell(norm, distances):
    distances = np.array(distances, float)
    return statistics.Cell(
        "m",
        "a",
        norm,
        np.arange(len(distances)),
        distances,
        thresholds.PAPER[norm],
    )


def test_accuracy_counts_what_is_beyond_the_threshold():
    estimate = statistics.robust_accuracy(
        cell("l2", [0, 1.5, 1.5 * (1 + 1e-7), 1.51, np.inf])
    )
    assert estimate.value == pytest.approx(0.4)
    # Wilson's interval of 2 in 5.
    assert estimate.low == pytest.approx(0.1176, abs=1e-4)
    assert estimate.high == pytest.approx(0.7693, abs=1e-4)


@pytest.mark.parametrize("epsilon", [0.3, 8 / 255, 2 / 255, 1e-3])
def test_pixels_rounded_at_the_threshold_are_within(epsilon):
    generator = np.random.default_rng(0)
    images = generator.uniform(size=10_000).astype(np.float32)
    for share in (1.0, 1.001):
        moved = images + np.float32(epsilon * share)
        changes = moved.astype(np.float64) - images
        assert thresholds.beyond(changes, epsilon).all() == (share > 1)
        assert thresholds.beyond(changes, epsilon).any() == (share > 1)


def test_thresholds_of_one_s_own():
    limits = thresholds.parse("l2:0.5")
    assert limits == {**thresholds.PAPER, "l2": 0.5}
    table = records(("dim", "l2_bim", "l2", [0.4, 0.6, 2.0]))
    (own,) = statistics.cells(table, limits)
    assert statistics.robust_accuracy(own).value == pytest.approx(2 / 3)
    rows = dict(row for row in tables.results_table(table, limits=limits))
    assert rows["`l2_bim`"].startswith("67% [")
    # The paper's accuracy is one at another threshold.
    for row in ("`l2_bim`", "**All L2, accuracy**", "**Minimal accuracy, L2**"):
        assert "paper" not in rows[row]
    assert "paper" in dict(tables.results_table(table))["`l2_bim`"]


def test_thresholds_may_be_fractions_of_white():
    limits = thresholds.parse("linf:8/255, l2:1e-1, ")
    assert limits["linf"] == pytest.approx(8 / 255)
    assert limits["l2"] == 0.1
    with pytest.raises(ValueError, match="beyond every image.*8 of 255 is"):
        thresholds.parse("linf:8")


@pytest.mark.parametrize(
    "text",
    [
        *("0.3", "l3:1", "l2:", "l2:-1", "l2:inf"),
        *("l2:1/0", "l2:nan", "l2:1e400"),
    ],
)
def test_thresholds_must_be_distances_of_norms(text):
    with pytest.raises(ValueError, match=f"norm:distance.*got '{text}'"):
        thresholds.parse(text)


def test_median_and_its_interval():
    generator = np.random.default_rng(1)
    estimate = statistics.median_distance(
        cell("l2", generator.normal(3, 1, 400))
    )
    # The median's standard error is 1.2533 / 20.
    assert estimate.value == pytest.approx(3, abs=0.2)
    width = estimate.high - estimate.low
    assert width == pytest.approx(2 * 1.96 * 1.2533 / 20, rel=0.25)
    failing = statistics.median_distance(cell("l2", [*range(5), *[np.inf] * 7]))
    assert failing == statistics.Estimate(np.inf, 2, np.inf)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 20, 100, 1000])
def test_a_median_is_in_its_interval_at_least_as_often_as_is_said(count):
    """The number of distances below it is binomial, whatever they are."""
    found = statistics.median_distance(cell("l2", range(1, count + 1)))
    below = stats.binom(count, 0.5)
    if count < 6:
        assert (found.low, found.high) == (0, np.inf)
        assert below.cdf(count - 1) - below.cdf(0) < 0.95
        return
    assert below.cdf(found.high - 1) - below.cdf(found.low - 1) >= 0.95
    assert below.cdf(found.high - 2) - below.cdf(found.low) < 0.95


def test_probes_alone_are_no_report():
    with pytest.raises(ValueError, match="only records of probes"):
        statistics.cells(
            records(("dim", "l2_bim", "l2", [1.0]), preset="probe")
        )


def test_a_least_accuracy_over_different_samples_is_marked():
    table = records(
        ("dim", "l2_bim", "l2", [1.0, 2.0]),
        ("dim", "linf_bim", "linf", [0.1]),
        ("cnn", "l2_bim", "l2", [1.0, 2.0]),
        ("cnn", "linf_bim", "linf", [0.1, 0.2]),
    )
    rows = dict((title, cells) for title, *cells in tables.results_table(table))
    least, other = rows["**Minimal accuracy, L2, Linf**"]
    assert least.endswith(" *")
    assert not other.endswith("*")
    assert not rows["**All Linf, accuracy**"][0].endswith("*")
    lacks = {
        row["model"]: row["lacks"]
        for row in numbers.rows(table, thresholds.PAPER)
        if row["attack"] == "minimal_accuracy"
    }
    assert lacks == {
        "dim": "different samples, 2 in L2, 1 in Linf",
        "cnn": None,
    }


def test_pairs_of_different_images_are_refused():
    first, second = (
        dataclasses.replace(cell("l2", [1, 2]), model=name, dataset=name)
        for name in ("a", "b")
    )
    with pytest.raises(ValueError, match="a was attacked on images of a and b"):
        statistics.larger(first, second)


def test_samples_are_matched_by_name():
    first = statistics.Cell(
        "m", "a", "l2", np.array([1, 2, 4]), np.array([1.0, 5.0, 3.0]), 1.5
    )
    second = statistics.Cell(
        "m", "b", "l2", np.array([2, 3, 4]), np.array([2.0, 0.0, 4.0]), 1.5
    )
    both = statistics.closest([first, second])
    assert both.samples.tolist() == [2, 4]
    assert both.distances.tolist() == [2.0, 3.0]


def test_a_minimum_over_some_norms_names_them():
    table = records(
        ("dim", "l2_bim", "l2", [1.0, 2.0]), ("dim", "l1_bim", "l1", [9.0, 9.0])
    )
    rows = dict(tables.results_table(table))
    assert rows["**Minimal accuracy, L2, L1**"] == "50% [9%, 91%]"


def test_a_minimum_is_over_the_same_samples():
    first, second = (
        records(("dim", attack, "l2", [1.0, 2.0, 3.0]))
        for attack in ("l2_bim", "l2_ddn")
    )
    table = pa.concat_tables([first.slice(0, 2), second.slice(1, 2)])
    with pytest.raises(ValueError, match="dim has other samples from attack"):
        tables.results_table(table)
    rows = dict(tables.results_table(table, allow_missing=True))
    for row in ("**All L2, median**", "**Minimal accuracy, L2**"):
        assert rows[row].endswith(" *")


def half_a_sweep(records):
    """What one machine of several that share a sweep may have made so far."""
    whole = [
        records(("dim", attack, "l2", [1.0, 2.0, np.inf, 4.0]))
        for attack in ("l2_bim", "l2_boundary")
    ]
    parts = [whole[0].slice(0, 2), whole[1].slice(2, 2)]
    return pa.concat_tables([*parts, records(("cnn", "l2_bim", "l2", [1, 2]))])


def test_of_no_sample_in_common_there_is_no_minimum():
    table = half_a_sweep(records)
    rows = {row[0]: row[1:] for row in tables.results_table(table, True)}
    assert rows["`l2_bim`"] == (
        "50% [9%, 91%], paper 94%",
        "50% [9%, 91%], paper 17%",
    )
    assert rows["`l2_boundary`"][0].startswith("100% [")
    for row in ("**All L2, accuracy**", "**Minimal accuracy, L2**"):
        dim, cnn = rows[row]
        assert dim == "-"
        assert cnn.startswith("50% [9%, 91%]")
        assert cnn.endswith(" *")
    assert rows["**All L2, median**"][0] == "-"
    assert rows["samples"] == ("2", "2")
    alone = table.filter(pc.field("model") == "dim")
    rows = dict(tables.results_table(alone, True))
    assert rows["**Minimal accuracy**"] == "-"


def test_two_records_of_a_sample_are_refused():
    table = records(("dim", "l2_bim", "l2", [1.0]))
    with pytest.raises(ValueError, match="l2_bim on dim has several.*sample 5"):
        statistics.cells(pa.concat_tables([table, table]))


@pytest.mark.usefixtures("paper_of_few")
def test_the_table_has_the_paper_beside_ours():
    header, *body = tables.results_table(
        records(
            ("dim", "l2_bim", "l2", [0, 1, 2, 3]),
            ("dim", "l2_ddn", "l2", [0, 2, 1, 4]),
            ("dim", "linf_pgd", "linf", [0, 0.1, 0.2, 0.31]),
        )
    )
    assert header == ("", "`dim`")
    rows = dict(body)
    assert list(rows) == [
        *("`l2_bim`", "`l2_ddn`", "**All L2, accuracy**", "**All L2, median**"),
        *("`linf_pgd`", "**All Linf, accuracy**", "**All Linf, median**"),
        *("**Minimal accuracy, L2, Linf**", "**Clean accuracy**"),
        *("samples", "preset", "thresholds"),
    ]
    assert rows["`l2_bim`"] == "50% [15%, 85%], paper 94%"
    assert rows["**All L2, accuracy**"] == "25% [5%, 70%], paper 66%"
    assert rows["**All L2, median**"].startswith("1 [0, ")
    assert rows["**All L2, median**"].endswith("], paper 1.9")
    # The paper's is that of four norms.
    assert rows["**Minimal accuracy, L2, Linf**"] == "25% [5%, 70%]"
    assert rows["**Clean accuracy**"] == "75% [30%, 95%]"
    assert (rows["samples"], rows["preset"]) == ("4", "quick")
    assert rows["thresholds"] == "L2 1.5, Linf 0.3"


@pytest.mark.parametrize(
    ("cells", "preset", "named"),
    [
        (
            [
                ("dim", "l2_bim", "l2", [1.0]),
                ("dim", "l2_ddn", "l2", [1.0]),
                ("cnn", "l2_bim", "l2", [1.0]),
            ],
            "quick",
            "l2_ddn on cnn",
        ),
        (
            [("dim", "l2_bim", "l2", [1.0]), ("dim", "l2_ddn", "l2", [1, 2])],
            "quick",
            "dim has between 1 and 2 samples",
        ),
        (
            [("dim", "l2_bim", "l2", [1.0])],
            "paper",
            "only 1 of the paper's 22 attacks",
        ),
    ],
)
def test_minima_over_gaps_are_refused_or_marked(cells, preset, named):
    table = records(*cells, preset=preset)
    with pytest.raises(ValueError, match=named):
        tables.results_table(table)
    rows = {row[0]: row[1:] for row in tables.results_table(table, True)}
    assert all(text.endswith(" *") for text in rows["**All L2, accuracy**"])


def test_another_preset_makes_no_gap_of_the_paper_s_whole():
    quick = records(
        *(("dim", f"l2_{number}", "l2", [1.0]) for number in range(22))
    )
    one = records(("dim", "l2_ddn", "l2", [1.0]), preset="paper")
    with pytest.raises(ValueError, match="only 1 of the paper's 22 attacks"):
        tables.results_table(pa.concat_tables([quick, one]))
    # What both have keeps the preset that it was first made for.
    names = paper.attacks("l2")
    quick = records(("dim", names[0], "l2", [1.0]), ("dim", "l1", "l1", [1.0]))
    rest = (("dim", name, "l2", [1.0]) for name in names[1:])
    table = pa.concat_tables([quick, records(*rest, preset="paper")])
    assert tables.results_table(table)


def test_the_paper_s_attacks_are_those_of_its_suite():
    for norm in tables.TITLES:
        names = {name for name in suite.PAPER if name.startswith(f"{norm}_")}
        assert set(paper.attacks(norm)) == names
        assert len(paper.attacks(norm)) == len(names)


@pytest.mark.parametrize("dataset", ["fashion_mnist", "0a1b2c", None])
def test_the_paper_says_nothing_of_other_images(dataset):
    cells = [("dim", f"{norm}_bim", norm, [9.0, 9.0]) for norm in tables.TITLES]
    assert "paper" in str(tables.results_table(records(*cells)))
    others = records(*cells, dataset=dataset)
    rows = tables.results_table(others)
    assert "paper" not in str(rows)
    ours = [row for row in rows if row[0] == "`l2_bim`"]
    assert ours == [("`l2_bim`", "100% [34%, 100%]")]


def test_images_of_two_data_sets_are_no_samples_of_one():
    bim, ddn = (
        records(("dim", attack, "l2", [1.0]), dataset=dataset)
        for attack, dataset in (("l2_bim", "mnist"), ("l2_ddn", "kmnist"))
    )
    with pytest.raises(ValueError, match="dim has .* mnist and .* kmnist"):
        statistics.cells(pa.concat_tables([bim, ddn]))
    # Of another model they may be.
    other = records(("cnn", "l2_bim", "l2", [1.0]), dataset="kmnist")
    cells = statistics.cells(pa.concat_tables([bim, other]))
    assert [cell.dataset for cell in cells] == ["mnist", "kmnist"]
    assert statistics.closest(cells[1:]).dataset == "kmnist"


def test_models_of_one_name_are_not_mixed():
    table = records(
        ("dim", "l2_bim", "l2", [1.0]), ("dim", "l2_ddn", "l2", [1])
    )
    place = table.schema.get_field_index("weights_digest")
    mixed = table.set_column(place, "weights_digest", [["a1", "b2"]])
    with pytest.raises(
        ValueError, match="dim has .*weights a1 and .*weights b2"
    ):
        statistics.cells(mixed)


def test_the_paper_s_values():
    values = paper.values()
    assert values["all_linf_median", "bi_dim"] == 0.49
    assert values["l2_pgd", "single_im"] == 0.89
    assert ("l2_pgd", "nothing") not in values
