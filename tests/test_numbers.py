"""Reports for programs: the numbers of the tables, as numbers."""

import csv
import io
import json

import numpy as np
import pytest
from test_report_page import records

from dim_tf import report
from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds
from dim_tf.reporting import numbers
from dim_tf.reporting import statistics

TABLE = records(
    ("dim", "l2_bim", "l2", [1.0, 2.0, np.inf, np.inf]),
    ("dim", "l2_ddn", "l2", [9.0, 1.0, 2.0, np.inf]),
)

MADE = {"dim": [{"attack": "l2_bim", "weights_digest": "a" * 64}]}


def test_every_attack_and_the_closest_have_a_row():
    rows = numbers.rows(TABLE, {**thresholds.PAPER, "l2": 1.5})
    assert [row["attack"] for row in rows] == [
        *("l2_bim", "l2_ddn", "all_l2", "minimal_accuracy", "clean_accuracy")
    ]
    bim, _, least, minimal, clean = rows
    (cell, _) = statistics.cells(TABLE)
    share = statistics.robust_accuracy(cell)
    assert (bim["accuracy"], bim["accuracy_low"]) == (0.75, share.low)
    assert (bim["samples"], bim["threshold"]) == (4, 1.5)
    assert (bim["paper_accuracy"], bim["paper_median"]) == (0.94, None)
    assert least["accuracy"] == 0.5
    assert least["median"] == 1.5
    # Of all the paper's attacks, which these are not.
    assert least["paper_accuracy"] is None
    assert minimal["accuracy"] == 0.5
    assert (minimal["norm"], minimal["paper_accuracy"]) == ("l2", None)
    assert clean["accuracy"] == 1
    assert clean["threshold"] is None
    assert all(row.keys() == bim.keys() for row in rows)
    assert all(row["lacks"] is None for row in rows)


@pytest.mark.usefixtures("paper_of_few")
def test_the_paper_s_minimum_is_beside_a_whole_one():
    _, _, least, *_ = numbers.rows(TABLE, thresholds.PAPER)
    assert (least["paper_accuracy"], least["paper_median"]) == (0.66, 1.9)
    norms = (
        ("dim", f"{norm}_bim", norm, [bound] * 4)
        for norm, bound in thresholds.PAPER.items()
    )
    *_, minimal, _ = numbers.rows(records(*norms), thresholds.PAPER)
    assert minimal["paper_accuracy"] == 0.08


def test_what_is_missing_is_refused_as_in_the_table():
    some = TABLE.slice(0, 6)
    with pytest.raises(ValueError, match="dim has between 2 and 4 samples"):
        numbers.rows(some, thresholds.PAPER)
    rows = numbers.rows(some, thresholds.PAPER, allow_missing=True)
    _, _, least, minimal, _ = rows
    assert least["samples"] == 2
    for row in (least, minimal):
        assert row["lacks"] == "dim has between 2 and 4 samples"
    for row in rows[:2]:
        assert row["lacks"] is None


def test_infinity_is_what_a_format_has_for_it():
    rows = numbers.rows(TABLE, thresholds.PAPER)
    said = json.loads(numbers.to_json(rows, [("alarm", "masked")], MADE))
    assert said["signs"] == [{"level": "alarm", "text": "masked"}]
    assert said["made_with"]["dim"]["weights_digest"] == ["a" * 64]
    assert said["results"][0]["median"] == "inf"
    assert said["results"][2]["accuracy"] == 0.5
    table = list(csv.DictReader(io.StringIO(numbers.to_csv(rows, [], MADE))))
    assert float(table[0]["median"]) == np.inf
    assert table[0]["paper_median"] == ""


def command(table, folder, monkeypatch, output, **settings):
    """What the report command writes of records."""
    for attack in table["attack"].unique().to_pylist():
        own = table.filter(np.array(table["attack"]) == attack)
        path = results.shard_path(
            folder / "r" / "dim" / attack, range(len(own))
        )
        columns = own.select(results.SCHEMA.names).to_pydict()
        results.write_shard(path, columns, {})
    config = report.ReportConfig(
        results=str(folder / "r"), output=str(folder / output), **settings
    )
    monkeypatch.setattr(report.config, "from_flags", lambda kind: config)
    report.main([])
    return (folder / output).read_text()


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_the_command_writes_them(suffix, tmp_path, monkeypatch):
    output = f"new/folder/report{suffix}"
    assert "all_l2" in command(TABLE, tmp_path, monkeypatch, output)


def test_the_command_says_what_a_star_means(tmp_path, monkeypatch):
    some = TABLE.slice(0, 6)
    text = command(some, tmp_path, monkeypatch, "report.md", allow_missing=True)
    assert "| **All L2, accuracy** | 0% [0%, 66%] *" in text
    assert (
        "- note: Minima with a * are over what is there alone, in L2: dim has "
        "between 2 and 4 samples."
    ) in text
