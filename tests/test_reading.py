"""The words of docs/RESULTS.md are those that its numbers allow.

Where one fails, the words of the template are to be changed.
"""

import collections
import json
import math
import re
import statistics

from published import BRENDEL_BETHGE
from published import NUMBER
from published import PAGE
from published import RECORDS
from published import REFINED
from published import ROOT
from published import THRESHOLDS
from published import TITLES
from published import TRAININGS
from published import WEAKEST_REFINED
from published import across_norms
from published import check
from published import check_closest
from published import distances
from published import numbers
from published import page_cells
from scipy import stats
from scipy.stats import binomtest

from dim_tf import layers
from dim_tf.reporting import paper


def test_the_attack_that_is_said_to_stop_early_does():
    (alarm,) = re.findall(
        r"^- alarm: linf_pgd on dim with twice the steps: "
        r"robust accuracy (\d+)% becomes (\d+)%",
        PAGE,
        re.MULTILINE,
    )
    before, after = map(int, alarm)
    assert 0.4 < after / before < 0.6


def test_gradients_pass_the_threshold_as_is_said():
    surrogate, slope = re.search(
        r"binarize by a surrogate, that of a (\w+) of slope (\d+)",
        " ".join(PAGE.split()),
    ).groups()
    assert layers.Binarize(surrogate).slope == int(slope)
    for model in ("bi_cnn", "bi_dim", "bi_abs"):
        card = json.loads(
            (ROOT / "saved_models" / model / "card.json").read_text()
        )
        assert card["settings"]["sizes"]["surrogate"] == surrogate


def test_the_images_of_abs_are_harder_for_dim():
    for title in TITLES.values():
        key = "dim", f"All {title}, accuracy"
        assert numbers("abs")[key] < numbers()[key]


def paired_rows():
    """Yields both models, and the cells, of every row of pairs."""
    for first, second, cells in re.findall(
        r"^\| `(\w+)` over `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE
    ):
        yield first, second, cells.split(" | ")


def check_paired(cell, ours, theirs):
    """Checks a cell with distances by sample; returns its interval."""
    more = sum(ours[each] > theirs[each] for each in ours)
    fewer = sum(ours[each] < theirs[each] for each in ours)
    value, lower, upper = map(float, re.match(NUMBER, cell).groups())
    assert abs(value - 100 * more / (more + fewer)) <= 0.51
    return lower, upper


def check_same_records(found, folder=RECORDS):
    """Of what is in a table, too, records elsewhere are those."""
    there = distances(folder)
    for key, by_attack in found.items():
        for attack, distance in by_attack.items():
            if key in there:
                assert there[key][attack] == distance


ABLATIONS = ("dim", "dn_single_im", "im", "single_im")


def test_one_attack_runs_on_more_images():
    records = distances(BRENDEL_BETHGE)
    own = collections.defaultdict(list)
    for (model, norm, _), (distance,) in (
        (key, by_attack.values()) for key, by_attack in records.items()
    ):
        own[model, norm].append(distance)
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d,]+) \| (\d+% \[.*<br>.*) \| $", PAGE, re.MULTILINE
    )
    assert len(rows) == 10
    for model, count, cells in rows:
        counts = [len(own[model, norm]) for norm in THRESHOLDS]
        assert int(count.replace(",", "")) == min(counts)
        for norm, cell in zip(THRESHOLDS, cells.split(" | "), strict=True):
            found, limit = own[model, norm], THRESHOLDS[norm] * (1 + 1e-6)
            share = sum(distance > limit for distance in found) / len(found)
            assert cell.startswith(f"{share:.0%} [")
            assert f"], {statistics.median(found):.2g}<br>" in cell
            alone, together = re.search(
                r"<br>(\d+)%, all (\d+)%", cell
            ).groups()
            check(float(alone), model, f"{norm}_brendel_bethge")
            check(float(together), model, f"All {TITLES[norm]}, accuracy")


def test_another_processor_moves_distances_and_hardly_shares():
    there = distances()
    moved, alike = collections.Counter(), collections.defaultdict(list)
    for key, by_attack in distances(BRENDEL_BETHGE).items():
        if key not in there:
            continue
        model, norm, _ = key
        for attack, distance in by_attack.items():
            before = there[key][attack]
            moved[model, norm] += (distance > THRESHOLDS[norm]) - (
                before > THRESHOLDS[norm]
            )
            alike[model, norm].append(
                abs(distance / before - 1) if before else 0
            )
    assert len(alike) == 10 * 4
    assert {key: count for key, count in moved.items() if count} == {
        ("bi_cnn", "l0"): -5,
        ("bi_cnn", "l1"): 3,
    }
    for key, changes in alike.items():
        expected = 0.1 if key in moved and moved[key] else 0
        assert abs(statistics.median(changes) - expected) < 0.03, key


def test_what_one_attack_tells_is_so():
    gaps = {}
    for model in {model for model, _ in numbers()}:
        for norm, title in TITLES.items():
            attack = numbers()[model, f"{norm}_brendel_bethge"]
            all_of_norm = numbers()[model, f"All {title}, accuracy"]
            gaps[model, norm] = round(attack - all_of_norm)
    assert statistics.median(gaps.values()) == 3
    masked = [gaps.pop((model, "l0")) for model in ("bi_dim", "madry")]
    assert max(gaps.values()) == 15 < min(masked)
    words = " ".join(PAGE.split())
    assert "3 points more in the median cell and 15 at most" in words
    bounds = {}
    for (model, norm, _), (distance,) in (
        (key, found.values())
        for key, found in distances(BRENDEL_BETHGE).items()
    ):
        limit = THRESHOLDS[norm] * (1 + 1e-6)
        bounds.setdefault((model, norm), []).append(distance > limit)
    for key, robust in bounds.items():
        test = binomtest(sum(robust), len(robust))
        bounds[key] = test.proportion_ci(method="wilson")
    for less, more, norms in (
        ("dim", "abs", ("l2", "l0", "l1")),
        ("bi_dim", "bi_abs", ("l2", "linf", "l0")),
    ):
        for norm in norms:
            assert bounds[less, norm].high < bounds[more, norm].low
    assert bounds["abs", "linf"].high < 0.12


def trained(folder):
    """By model and norm: by sample, Brendel-Bethge's distance."""
    by_model = collections.defaultdict(dict)
    for (model, norm, sample), by_attack in distances(folder).items():
        if model in ABLATIONS:
            (by_model[model, norm][sample],) = by_attack.values()
    assert {len(each) for each in by_model.values()} == {1000}
    return by_model


def test_the_ablations_are_those_of_two_trainings():
    for seed, folder in enumerate(TRAININGS):
        found = trained(folder)
        for model in ABLATIONS:
            (cells,) = re.findall(
                rf"^\| `{model}` \| {seed} \| (.*) \|", PAGE, re.MULTILINE
            )
            for norm, cell in zip(THRESHOLDS, cells.split(" | "), strict=True):
                own = found[model, norm].values()
                limit = THRESHOLDS[norm] * (1 + 1e-6)
                share = sum(distance > limit for distance in own) / len(own)
                assert cell == f"{share:.0%}, {statistics.median(own):.2g}"


def test_a_denoiser_helps_image_by_image_and_ten_encoders_hardly_do():
    rows = [row for row in paired_rows() if row[0] != "bi_dim"]
    assert len(rows) == 4 * len(TRAININGS)
    helps, harms = collections.Counter(), collections.Counter()
    for place, (first, second, cells) in enumerate(rows):
        found = trained(TRAININGS[place // 4])
        for norm, cell in zip(THRESHOLDS, cells, strict=True):
            lower, upper = check_paired(
                cell, found[first, norm], found[second, norm]
            )
            helps[first, second, norm] += lower > 50
            harms[first, second, norm] += upper < 50
    assert {key for key, times in helps.items() if times == 2} == {
        *(("dim", "im", norm) for norm in THRESHOLDS),
        *(("dn_single_im", "single_im", norm) for norm in THRESHOLDS),
        *(("dim", "dn_single_im", norm) for norm in ("l2", "linf")),
    }
    alone = ("im", "single_im", "l1")
    assert +harms == {alone: 1}
    assert helps[alone] == 1


def test_the_seed_moves_accuracies_by_as_much_as_is_said():
    first, second = map(trained, TRAININGS)
    moved = [
        abs(
            sum(d > THRESHOLDS[norm] for d in first[model, norm].values())
            - sum(d > THRESHOLDS[norm] for d in second[model, norm].values())
        )
        for model, norm in first
    ]
    (said,) = re.findall(r"by up to (\d) points\.", " ".join(PAGE.split()))
    assert round(max(moved) / 10) == int(said)


def the_two():
    """Rows of pairs of biDIM and biABS: as they are, then refined."""
    rows = [row for row in paired_rows() if row[0] == "bi_dim"]
    assert len(rows) == 4
    return rows


def test_the_two_that_keep_the_most_are_alike():
    attack, norm = "l1_brendel_bethge", "l1"
    found = {"bi_dim": {}, "bi_abs": {}}
    for (model, of, sample), by_attack in distances(BRENDEL_BETHGE).items():
        if model in found and of == norm:
            found[model][sample] = by_attack[attack]
    robust = {
        model: {sample: d > THRESHOLDS[norm] for sample, d in own.items()}
        for model, own in found.items()
    }
    within, by_distance = (
        check_paired(*cells, values["bi_dim"], values["bi_abs"])
        for values, cells in zip(
            (robust, found),
            [cells[-1:] for *_, cells in the_two()][:2],
            strict=True,
        )
    )
    for low, high in (within, by_distance):
        assert low < 50 < high
    assert "the two are alike in their weakest norm" in " ".join(PAGE.split())
    words = " ".join(PAGE.split())
    assert "Over 1,000 images of both" in words
    for model, sentence in (
        ("bi_dim", r"it leaves {}% \[.*?\] of biDIM, at a median of {},"),
        ("bi_abs", r"and {}% \[.*?\] of biABS, at {}\."),
    ):
        assert len(found[model]) == 1000
        left = f"{sum(robust[model].values()) / 10:.0f}"
        median = f"{statistics.median(found[model].values()):.2g}"
        assert re.search(sentence.format(left, median), words)
    least = collections.defaultdict(lambda: [0, 0])
    for (model, of, _), by_attack in distances().items():
        if model in found and of == norm:
            least[model][0] += by_attack[attack] > THRESHOLDS[norm]
            least[model][1] += min(by_attack.values()) > THRESHOLDS[norm]
    for model, more in (("bi_abs", 1), ("bi_dim", 1)):
        alone, together = least[model]
        assert alone - together == more
        count = len({sample for of, _, sample in distances() if of == model})
        minimal = numbers()[model, "Minimal accuracy"]
        assert math.isclose(minimal, 100 * together / count)


def test_refined_the_other_of_the_two_holds_longer():
    check_same_records(distances(WEAKEST_REFINED), REFINED)
    least = across_norms(WEAKEST_REFINED)
    said = PAGE[PAGE.index("**To whoever knows of the threshold") :]
    assert "Over 1,000 images of both" in " ".join(said.split())
    *_, (_, _, within), (_, _, by_distance) = the_two()
    apart = {}
    for place, norm in enumerate(("l2", "l1")):
        found = {"bi_dim": {}, "bi_abs": {}}
        for (model, of, sample), distance in least.items():
            if of == norm:
                found[model][sample] = distance
        robust = {
            model: {sample: d > THRESHOLDS[norm] for sample, d in own.items()}
            for model, own in found.items()
        }
        cells = re.search(rf"^\| {TITLES[norm]} \| (.*) \|", said, re.M)[1]
        for model, cell in zip(found, cells.split(" | "), strict=True):
            assert len(found[model]) == 1000
            check_closest(re.sub(r" \[.*\]", "", cell), least, model, norm)
        for name, values, row in (
            ("within", robust, within),
            ("by distance", found, by_distance),
        ):
            check_paired(row[place], *values.values())
            ours, theirs = values.values()
            more = sum(ours[each] < theirs[each] for each in ours)
            fewer = sum(ours[each] > theirs[each] for each in ours)
            assert more > fewer
            test = stats.binomtest(more, more + fewer)
            apart[norm, name] = test.pvalue
    assert apart.pop(("l1", "within")) > 0.05
    assert 0.02 < apart.pop(("l2", "within")) < 0.05  # if only just
    assert max(apart.values()) < 0.001
    theirs = paper.values()
    for row in ("l2_accuracy", "l2_median", "l1_accuracy", "l1_median"):
        assert theirs[f"all_{row}", "bi_dim"] > theirs[f"all_{row}", "bi_abs"]


def test_the_readme_says_what_is_left_of_the_two_refined():
    least = across_norms(WEAKEST_REFINED)
    ours, theirs = [], []
    for model in ("bi_dim", "bi_abs"):
        own = [d for key, d in least.items() if key[:2] == (model, "l2")]
        share = sum(d > THRESHOLDS["l2"] for d in own) / len(own)
        ours.append(f"{share:.0%}")
        theirs.append(f"{paper.values()['all_l2_accuracy', model]:.0%}")
    assert (
        "leave {} of biDIM in L2 and {} of biABS; the paper, without that, "
        "has {} and {}."
    ).format(*ours, *theirs) in " ".join(
        (ROOT / "README.md").read_text().split()
    )


def test_two_refined_attacks_leave_hardly_more_than_four():
    def kept(attacks, model, norm):
        least = across_norms(*REFINED.glob(f"{model}/{attacks}"))
        own = [d for (_, of, _), d in least.items() if of == norm]
        return sum(d > THRESHOLDS[norm] for d in own), len(own)

    (said,) = re.findall(
        r"up to (\d+) more of (\d+) images of biDIM, "
        r"and (\d+) more of (\d+) of biABS",
        " ".join(PAGE.split()),
    )
    expected = []
    for model in ("bi_dim", "bi_abs"):
        more = []
        for norm in ("l2", "l1"):
            of_two, _ = kept("*_brendel_bethge", model, norm)
            of_four, count = kept("*", model, norm)
            more.append(of_two - of_four)
        expected += [max(more), count]
    assert list(map(int, said)) == expected


def test_intervals_are_as_the_reading_says():
    found = {
        (row, model): (lower, upper)
        for model, row, _, lower, upper in page_cells()
    }

    def apart(row, less, more):
        return found[row, less][1] < found[row, more][0]

    row = "All L2, accuracy"
    assert apart(row, "im", "dim")
    assert apart(row, "single_im", "dn_single_im")
    for single, ten in (("dn_single_im", "dim"), ("single_im", "im")):
        assert not apart(row, single, ten)
        assert not apart(row, ten, single)
    row = "Minimal accuracy"
    others = {model for of, model in found if of == row} - {"bi_dim"}
    assert len(others) == 9
    decided = {model for model in others if apart(row, model, "bi_dim")}
    assert others - decided == {"bi_abs"}
    others -= {"bi_abs"}
    assert all(apart(row, model, "bi_abs") for model in others)


def test_gradients_are_masked_where_the_reading_says():
    found = re.findall(
        r"^- alarm: (\d+)% of the samples of (\w+) survive the (\w+) attacks "
        r"that use gradients",
        PAGE,
        re.MULTILINE,
    )
    shares = {(model, norm): int(share) for share, model, norm in found}
    worst = shares.pop(("madry", "l0"))
    assert max(shares.values()) < worst
    assert shares.keys() == {("madry", "l2"), ("bi_dim", "l0"), ("dim", "l0")}


def test_in_every_norm_and_refined_the_two_are_not_told_apart():
    assert "Nor is it where an adversarial counts in every norm" in " ".join(
        PAGE.split()
    )
    for folder in (RECORDS, REFINED):
        intervals = []
        least = across_norms(folder)
        for model in ("bi_dim", "bi_abs"):
            robust = [
                distance > THRESHOLDS["l1"]
                for (of, norm, _), distance in least.items()
                if (of, norm) == (model, "l1")
            ]
            test = binomtest(sum(robust), len(robust))
            intervals.append(test.proportion_ci(method="wilson"))
        (low, high), (other_low, other_high) = intervals
        assert low <= other_high and other_low <= high, folder
