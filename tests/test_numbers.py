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


def test_every_attack_and_the_closest_have_a_row():
    rows = numbers.rows(TABLE, {**thresholds.PAPER, "l2": 1.5})
    assert [row["attack"] for row in rows] == ["l2_bim", "l2_ddn", "all_l2"]
    bim, _, least = rows
    (cell, _) = statistics.cells(TABLE)
    share = statistics.robust_accuracy(cell)
    assert (bim["accuracy"], bim["accuracy_low"]) == (0.75, share.low)
    assert (bim["samples"], bim["threshold"]) == (4, 1.5)
    assert (bim["paper_accuracy"], bim["paper_median"]) == (0.94, None)
    assert least["accuracy"] == 0.5
    assert least["median"] == 1.5
    # Of all the paper's attacks, which these are not.
    assert least["paper_accuracy"] is None


@pytest.mark.usefixtures("paper_of_few")
def test_the_paper_s_minimum_is_beside_a_whole_one():
    *_, least = numbers.rows(TABLE, thresholds.PAPER)
    assert (least["paper_accuracy"], least["paper_median"]) == (0.66, 1.9)


def test_what_is_missing_is_refused_as_in_the_table():
    some = TABLE.slice(0, 6)
    with pytest.raises(ValueError, match="dim has between 2 and 4 samples"):
        numbers.rows(some, thresholds.PAPER)
    rows = numbers.rows(some, thresholds.PAPER, allow_missing=True)
    assert rows[-1]["samples"] == 2


def test_infinity_is_what_a_format_has_for_it():
    rows = numbers.rows(TABLE, thresholds.PAPER)
    said = json.loads(numbers.to_json(rows, [("alarm", "masked")]))
    assert said["signs"] == [{"level": "alarm", "text": "masked"}]
    assert said["results"][0]["median"] == "inf"
    assert said["results"][2]["accuracy"] == 0.5
    table = list(csv.DictReader(io.StringIO(numbers.to_csv(rows, []))))
    assert float(table[0]["median"]) == np.inf
    assert table[0]["paper_median"] == ""


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_the_command_writes_them(suffix, tmp_path, monkeypatch):
    for attack in ("l2_bim", "l2_ddn"):
        own = TABLE.filter(np.array(TABLE["attack"]) == attack)
        path = results.shard_path(tmp_path / "r" / "dim" / attack, range(4))
        results.write_shard(
            path, own.select(results.SCHEMA.names).to_pydict(), {}
        )
    output = tmp_path / "new" / f"report{suffix}"
    settings = report.ReportConfig(
        results=str(tmp_path / "r"), output=str(output)
    )
    monkeypatch.setattr(report.config, "from_flags", lambda kind: settings)
    report.main([])
    assert "all_l2" in output.read_text()
