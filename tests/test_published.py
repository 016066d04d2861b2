"""docs/RESULTS.md says what the records beside it say."""

import collections
import functools
import math
import pathlib
import re
import statistics

import pyarrow.parquet as pq
import pytest

from dim_tf.attacks.suite import PAPER
from dim_tf.evaluation import results
from dim_tf.models import saving
from dim_tf.reporting import benchmarks
from dim_tf.reporting import document

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = ROOT / "results" / "paper"
if not (ROOT / "docs" / "RESULTS.md").exists():
    pytest.skip("the page is not published yet", allow_module_level=True)
PAGE = (ROOT / "docs" / "RESULTS.md").read_text()
THRESHOLDS = {"l2": 1.5, "linf": 0.3, "l0": 12.0, "l1": 8.0}


def test_the_page_is_the_filled_template(tmp_path):
    template = (ROOT / "docs" / "RESULTS.md.jinja").read_text()
    text = document.fill(
        template,
        results.read(RECORDS, results.WITHOUT_IMAGES),
        functools.partial(results.adversarials, RECORDS),
        tmp_path / "results",
        compared=benchmarks.read_all(ROOT / "results" / "benchmark"),
    )
    assert text == PAGE


def test_attacks_are_compared_on_the_weights_that_records_are_of():
    for name, rows in benchmarks.read_all(ROOT / "results/benchmark").items():
        card = saving.read_card(ROOT / "saved_models" / name)
        digests = {row["weights_digest"] for row in rows}
        assert digests == {card["weights_digest"]}, name


def test_every_attack_of_the_paper_is_there():
    for model in RECORDS.iterdir():
        names = {folder.name for folder in model.iterdir()}
        assert PAPER.keys() <= names, model.name


def distances():
    """By model, norm and sample: by attack, the distance in the record."""
    found = collections.defaultdict(dict)
    for path in RECORDS.rglob("*.parquet"):
        for row in pq.read_table(
            path, columns=results.WITHOUT_IMAGES
        ).to_pylist():
            if row["preset"] != "probe":
                key = row["model"], row["norm"], row["sample"]
                found[key][row["attack"]] = row[f"distance_{row['norm']}"]
    return found


def page_cells():
    """Yields model, row and the first number of every cell of accuracies."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        header, _, *lines = (
            [cell.strip(" `*") for cell in line.strip("| \n").split(" | ")]
            for line in block.splitlines()
        )
        for row, *cells in lines:
            for model, cell in zip(header[-len(cells) :], cells, strict=True):
                number = re.match(r"([\d.]+|inf)(%?) \[", cell)
                if number:
                    yield model, row, float(number[1])


def test_numbers_are_those_of_the_records():
    # Without any of the code that made the page.
    attacks = collections.defaultdict(list)
    least = collections.defaultdict(list)
    for (model, norm, _), by_attack in distances().items():
        limit = THRESHOLDS[norm] * (1 + 1e-6)
        for attack, distance in by_attack.items():
            attacks[model, attack].append(distance > limit)
        least[model, norm].append(min(by_attack.values()))
    accuracies = {
        key: 100 * sum(robust) / len(robust) for key, robust in attacks.items()
    }
    titles = {
        "l2": "All L2",
        "linf": "All Linf",
        "l0": "All L0",
        "l1": "All L1",
    }
    for (model, norm), found in least.items():
        limit = THRESHOLDS[norm] * (1 + 1e-6)
        share = 100 * sum(each > limit for each in found) / len(found)
        accuracies[model, f"{titles[norm]}, accuracy"] = share
        least_so_far = accuracies.get((model, "Minimal accuracy"), math.inf)
        accuracies[model, "Minimal accuracy"] = min(share, least_so_far)
        accuracies[model, f"{titles[norm]}, median"] = statistics.median(found)
    seen = 0
    for model, row, number in page_cells():
        if (model, row) in accuracies:
            expected = accuracies[model, row]
            # Medians have two digits, accuracies are whole percents.
            margin = (
                {"rel_tol": 0.051} if "median" in row else {"abs_tol": 0.51}
            )
            assert math.isclose(number, expected, **margin), (model, row)
            seen += 1
    assert seen > 40 * 7
