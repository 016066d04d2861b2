"""docs/RESULTS.md, and the records that it says something of."""

import collections
import functools
import itertools
import math
import pathlib
import re
import statistics

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = ROOT / "results" / "paper"
REFINED = ROOT / "results" / "refined"
BRENDEL_BETHGE = ROOT / "results" / "brendel_bethge"
TRAININGS = (BRENDEL_BETHGE, ROOT / "results" / "ablations_seed_1")
AUTOATTACK = ROOT / "results" / "autoattack"
EXTRA = ROOT / "results" / "extra"
STRAIGHT_THROUGH = ROOT / "results" / "straight_through"
WEAKEST_REFINED = ROOT / "results" / "weakest_refined"
PAGE = (ROOT / "docs" / "RESULTS.md").read_text()
THRESHOLDS = {"l2": 1.5, "linf": 0.3, "l0": 12.0, "l1": 8.0}
# With the bounds of its interval.
NUMBER = r"([\d.]+|inf)%? \[([\d.]+|inf)%?, ([\d.]+|inf)%?\]"
TITLES = {"l2": "L2", "linf": "Linf", "l0": "L0", "l1": "L1"}


@functools.cache
def rows(folder):
    """What is used of the records below a folder, less those of probes."""
    columns = ["model", "norm", "sample", "attack", "preset"]
    columns += [f"distance_{norm}" for norm in THRESHOLDS]
    found = pa.concat_tables(
        pq.read_table(path, columns=columns)
        for path in sorted(folder.rglob("*.parquet"))
    ).to_pylist()
    return [row for row in found if row["preset"] != "probe"]


def distances(folder=RECORDS):
    """By model, norm and sample: by attack, the distance in the record."""
    found = collections.defaultdict(dict)
    for row in rows(folder):
        key = row["model"], row["norm"], row["sample"]
        found[key][row["attack"]] = row[f"distance_{row['norm']}"]
    return found


def page_cells():
    """Yields model, row, and number and interval of every cell with one."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        header, _, *lines = (
            [cell.strip(" `*") for cell in line.strip("| \n").split(" | ")]
            for line in block.splitlines()
        )
        for row, *cells in lines:
            for model, cell in zip(header[-len(cells) :], cells, strict=True):
                found = re.match(NUMBER, cell)
                if found:
                    yield model, row, *map(float, found.groups())


@functools.cache
def numbers(of=None):
    """By model and row of the tables: percent robust, or median distance.

    Without any of the code that made the page. Of all images, or of those of
    one model.
    """
    attacks = collections.defaultdict(list)
    least = collections.defaultdict(list)
    found = distances()
    wanted = {sample for model, _, sample in found if of in (None, model)}
    for (model, norm, sample), by_attack in found.items():
        if sample not in wanted:
            continue
        limit = THRESHOLDS[norm] * (1 + 1e-6)
        for attack, distance in by_attack.items():
            attacks[model, attack].append(distance > limit)
        least[model, norm].append(min(by_attack.values()))
    found = {
        key: 100 * sum(robust) / len(robust) for key, robust in attacks.items()
    }
    for (model, norm), closest in least.items():
        limit = THRESHOLDS[norm] * (1 + 1e-6)
        share = 100 * sum(each > limit for each in closest) / len(closest)
        found[model, f"All {TITLES[norm]}, accuracy"] = share
        least_so_far = found.get((model, "Minimal accuracy"), math.inf)
        found[model, "Minimal accuracy"] = min(share, least_so_far)
        found[model, f"All {TITLES[norm]}, median"] = statistics.median(closest)
    return found


def check(number, model, row, of=None):
    # Medians have two digits, accuracies are whole percents.
    margin = {"rel_tol": 0.051} if "median" in row else {"abs_tol": 0.51}
    there = numbers(of)[model, row]
    assert math.isclose(number, there, **margin), (model, row, of)


def across_norms(*folders):
    """By model, norm and sample: the least distance, whatever its attack."""
    least = collections.defaultdict(lambda: math.inf)
    for row in itertools.chain(*map(rows, folders)):
        for norm in THRESHOLDS:
            key = row["model"], norm, row["sample"]
            least[key] = min(least[key], row[f"distance_{norm}"])
    return least


def check_closest(cell, least, model, norm):
    """A cell such as `43%, 1.4` against distances `across_norms`."""
    own = [d for key, d in least.items() if key[:2] == (model, norm)]
    limit = THRESHOLDS[norm] * (1 + 1e-6)
    robust = sum(distance > limit for distance in own) / len(own)
    assert cell.startswith(f"{robust:.0%}, ")
    median = float(cell.partition(", ")[2])
    assert math.isclose(median, statistics.median(own), rel_tol=0.051)
