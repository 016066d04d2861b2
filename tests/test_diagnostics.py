"""What reports say before their numbers are believed."""

import numpy as np
import pyarrow as pa
import pytest
from test_report_page import records

from dim_tf.evaluation import thresholds
from dim_tf.reporting import diagnostics
from dim_tf.reporting import tables


def said(table):
    return diagnostics.diagnostics(table)


def test_sound_records_raise_no_alarm():
    notes = said(
        records(
            ("dim", "l2_bim", "l2", [1.0, 2.0]),
            ("dim", "l2_boundary", "l2", [1.2, 2.5]),
        )
    )
    assert notes == [
        (
            "note",
            "Gradients of dim are finite and not zero at all of 2 clean "
            "images.",
        ),
    ]


def test_checks_that_find_nothing_are_one_line():
    names = ("l2_bim", "l2_pgd", "l2_fgm")
    table = records(
        *(("dim", name, "l2", [1.0, 2.0]) for name in names),
    )
    probes = records(
        *(
            ("dim", f"{name}_twice_the_steps", "l2", distances)
            for name, distances in zip(
                names, ([1.0, 2.0], [0.9, 2.0], [1.0, 1.4]), strict=True
            )
        ),
        preset="probe",
    )
    notes = [text for _, text in said(pa.concat_tables([table, probes]))]
    steps = "on dim with twice the steps: robust accuracy"
    assert [text for text in notes if "steps" in text] == [
        f"l2_fgm {steps} 50% becomes 0%, it has not converged.",
        f"l2_bim, l2_pgd {steps} does not change.",
    ]


@pytest.mark.parametrize(
    ("found", "suffix", "level", "end"),
    [
        (
            *([1.0, 9.0], "_twice_the_steps", "alarm"),
            "with twice the steps: robust accuracy 100% becomes 50%, it has "
            "not converged.",
        ),
        (
            *([2.0, 9.0], "_twice_the_steps", "note"),
            "with twice the steps: robust accuracy does not change.",
        ),
        (
            *([1.0, 9.0], "_another_start", "alarm"),
            "and once more from another start: robust accuracy 100% becomes "
            "50%, one start is not enough.",
        ),
        (
            *([1.5, 1.5, np.inf], "_threshold_alone", "alarm"),
            "with smaller epsilons than the threshold: robust accuracy 33.3% "
            "becomes 0%, success is not monotone in epsilon.",
        ),
    ],
)
def test_what_more_work_gains(found, suffix, level, end):
    table = pa.concat_tables(
        [
            records(("dim", "l2_bim", "l2", [2.0, 2.0, 1.0])),
            records(("dim", f"l2_bim{suffix}", "l2", found), preset="probe"),
        ]
    )
    assert (level, f"l2_bim on dim {end}") in said(table)
    # What checks an attack is none of the suite.
    assert suffix not in str(tables.results_table(table))


@pytest.mark.parametrize("robust", range(1, 21))
def test_a_gain_of_five_points_is_no_alarm_wherever_it_is(robust):
    before = [2.0] * robust + [1.0] * (20 - robust)
    after = [1.0, *before[1:]]
    table = pa.concat_tables(
        [
            records(("dim", "l2_bim", "l2", before)),
            records(
                ("dim", "l2_bim_twice_the_steps", "l2", after), preset="probe"
            ),
        ]
    )
    assert {level for level, _ in said(table)} == {"note"}


def test_epsilons_that_miss_the_threshold_are_an_alarm():
    table = pa.concat_tables(
        [
            records(("dim", "l2_bim", "l2", [2.0, 2.0, 1.0])),
            records(
                ("dim", "l2_bim_threshold_alone", "l2", [1.5, np.inf, 1.5]),
                preset="probe",
            ),
        ]
    )
    ((level, words),) = [pair for pair in said(table) if "misses" in pair[1]]
    assert level == "alarm"
    assert words.startswith(
        "l2_bim on dim misses 33.3% of the samples, which it"
    )


@pytest.mark.parametrize("told_of", [0.5, 8 / 255])
def test_a_report_at_another_threshold_than_the_attacks_is_told(told_of):
    probes = records(
        ("dim", "l2_bim_threshold_alone", "l2", [0.01, np.inf, 0.01]),
        ("dim", "l2_pgd_threshold_alone", "l2", [0.01, np.inf, np.inf]),
        preset="probe",
        at_threshold=told_of,
    )
    bim = records(("dim", "l2_bim", "l2", [0.01, 1.0, 0.01]))
    table = pa.concat_tables([bim, probes])
    found = [pair for pair in said(table) if "threshold" in pair[1]]
    assert found == [
        (
            "alarm",
            f"l2 attacks on dim were tried at a threshold of {told_of:.3g}, "
            "and this report is of 1.5: report with "
            f"--thresholds=l2:{told_of}, or attack with --thresholds=l2:1.5.",
        )
    ]
    # As it says.
    limits = thresholds.parse(f"l2:{told_of}")
    words = str(diagnostics.diagnostics(table, limits))
    assert "smaller epsilons than the threshold" in words
    assert "were tried at" not in words


def test_so_is_one_at_another_threshold_than_an_attack_was_tried_at_alone():
    """Or what it was not asked for would pass for robust."""
    apgd = records(("dim", "l2_apgd_ce", "l2", [1.0, 1.0]), at_threshold=1.5)
    assert "were tried at" not in str(said(apgd))
    for other in (1.0, 2.0):
        words = str(diagnostics.diagnostics(apgd, {"l2": other}))
        assert f"of 1.5, and this report is of {other:.3g}: report" in words


@pytest.mark.parametrize(
    ("table", "level", "words"),
    [
        (
            records(
                ("dim", "l2_bim", "l2", [1.0]),
                **{"status": "error", "message": "no luck"},
            ),
            "alarm",
            "l2_bim broke on 1 samples of dim; they count as failures of the "
            "attack (no luck). Without its files, in dim/l2_bim, they are "
            "attacked again.",
        ),
        (
            records(("dim", "l2_boundary", "l2", [1.0]), status="no_start"),
            "note",
            "l2_boundary found no starting point on 1 samples",
        ),
        (
            records(("dim", "l2_bim", "l2", [1.0, np.inf])),
            "alarm",
            "50% of the samples of dim survive every l2 attack",
        ),
        (
            records(
                ("dim", "l2_bim", "l2", [1.0, np.inf]), largest_epsilon=1.5
            ),
            "note",
            "50% of the samples of dim survive every l2 attack within 1.5, the",
        ),
        (
            records(
                ("dim", "l2_bim", "l2", [1.0, np.inf]), largest_epsilon=6.0
            ),
            "alarm",
            "50% of the samples of dim survive every l2 attack within 6: atta",
        ),
        (
            pa.concat_tables(
                [
                    records(("dim", "l2_bim", "l2", [9.0, 1.0])),
                    records(
                        ("dim", "by_hand", "l2", [1.0, 9.0]), backwards=0.0
                    ),
                ]
            ),
            "alarm",
            "50% of the samples of dim survive the l2 attacks that use",
        ),
        (
            records(("dim", "l2_bim", "l2", [1.0]), gradient=0.0),
            "alarm",
            "Gradients of dim are zero or next to it at 1 of 1 ",
        ),
        (
            # Some attacks do not scale it.
            records(("dim", "l2_bim", "l2", [1.0]), gradient=0.9e-8),
            "alarm",
            "Gradients of dim are zero or next to it at 1 of 1 ",
        ),
        (
            records(("dim", "l2_bim", "l2", [1.0]), gradient=1.1e-8),
            "note",
            "Gradients of dim are finite and not zero at all of 1 ",
        ),
        (
            records(("dim", "l2_bim", "l2", [0.0, 0.0, 1.0])),
            "alarm",
            "66.7% of the samples of dim are misclassified without an attack: "
            "look whether the labels,",
        ),
        (
            records(("dim", "l2_bim", "l2", [1.0]), gradient=np.nan),
            "alarm",
            "Gradients of dim are not finite at 1 of 1 ",
        ),
        (
            records(
                ("dim", "l2_bim", "l2", [1.0]),
                gradient=np.nan,
                message="MemoryError: out of memory",
            ),
            "alarm",
            "Gradients of dim are not finite at 1 of 1 clean images "
            "(MemoryError: out of memory).",
        ),
        (
            records(
                ("dim", "l2_bim", "l2", [1.0, 2.0]),
                ("dim", "linf_bim", "linf", [0.1]),
            ),
            "note",
            "The minimal accuracy of dim is over different samples, 2 in L2, "
            "1 in Linf.",
        ),
        (
            records(
                ("dim", "l2_boundary", "l2", [np.inf]),
                status="no_start",
                gradient=np.nan,
                message="MemoryError: out of memory",
            ),
            "note",
            "l2_boundary found no starting point on 1 samples of dim; they "
            "count as failures of the attack.",
        ),
        (
            pa.concat_tables(
                [
                    records(("dim", "l2_bim", "l2", [1.0]), dataset="mnist"),
                    records(("mine", "l2_bim", "l2", [1.0]), dataset="a1b2"),
                ]
            ),
            "alarm",
            "The models were attacked on different images, so that their "
            "numbers are not to be compared: dim on mnist, mine on a1b2.",
        ),
    ],
)
def test_signs_of_trouble_are_said_in_words(table, level, words):
    assert level in [
        found for found, sentence in said(table) if sentence.startswith(words)
    ]
