"""docs/RESULTS.md says what the records beside it say."""

import collections
import functools
import math
import re
import statistics

import numpy as np
from published import AUTOATTACK
from published import BRENDEL_BETHGE
from published import EXTRA
from published import PAGE
from published import RECORDS
from published import REFINED
from published import ROOT
from published import STRAIGHT_THROUGH
from published import THRESHOLDS
from published import TITLES
from published import WEAKEST_REFINED
from published import across_norms
from published import check
from published import check_closest
from published import distances
from published import numbers
from published import page_cells
from scipy.stats import binomtest

from dim_tf.attacks.spec import GRADIENTS
from dim_tf.attacks.suite import PAPER
from dim_tf.benchmarking import rivals
from dim_tf.evaluation import results
from dim_tf.models import saving
from dim_tf.reporting import benchmarks
from dim_tf.reporting import document
from dim_tf.reporting import statistics as reporting


def test_the_page_is_the_filled_template(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # the template names folders from there
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


def test_the_readme_has_the_speeds_of_the_races():
    races = benchmarks.read_all(ROOT / "results/benchmark")
    for model in ("dim", "bi_dim", "cnn"):
        cells = []
        for size in (1, 10, 100, 1000):
            rows = [row for row in races[model] if row["batch_size"] == size]
            # Together they are worth a number if all of them are there.
            whole = {row["attack"] for row in rows} >= set(rivals.comparable())
            stock, ours = (
                sum(row[f"{side}_seconds"] for row in rows)
                for side in ("foolbox", "native")
            )
            compiling = sum(
                max(0.0, row["native_compile_seconds"]) for row in rows
            )
            if whole:
                ratios = stock / ours, stock / (ours + compiling)
                cells.append(" {:.1f} ({:.1f}) ".format(*ratios))
            else:
                cells.append(" ")
            assert all(row["ratio"] > 1 for row in rows)
        line = f"| `{model}` |{'|'.join(cells)}|\n"
        assert line in (ROOT / "README.md").read_text()


def test_the_readme_says_what_a_flat_loss_hides():
    readme = " ".join((ROOT / "README.md").read_text().split())
    for folder, model, attack, words in (
        ("saturation", "dim_x100", "linf_bim", "foolbox's BIM in Linf leaves"),
        ("benchmark", "cnn", "l2_fgm", "foolbox's FGM in L2 leaves"),
    ):
        (row,) = (
            row
            for row in benchmarks.read_all(ROOT / "results" / folder)[model]
            if row["attack"] == attack and row["batch_size"] == 100
        )
        stock, ours = (
            row[f"{side}_robust_accuracy"] for side in ("foolbox", "native")
        )
        assert (
            f"{words} {100 * stock:.0f} % and ours {100 * ours:.0f} %" in readme
        )


def test_every_attack_of_the_paper_is_there():
    for model in RECORDS.iterdir():
        names = {folder.name for folder in model.iterdir()}
        assert PAPER.keys() <= names, model.name


def test_numbers_are_those_of_the_records():
    known = [cell for cell in page_cells() if cell[:2] in numbers()]
    for model, row, number, _, _ in known:
        check(number, model, row)
    assert len(known) > 40 * 10


def test_the_summary_is_that_of_the_records_and_in_the_readme():
    tables = re.findall(r"^\|.*\| least \|\n(?:\|.*\n)+", PAGE, re.MULTILINE)
    assert tables[0] in (ROOT / "README.md").read_text()
    for table, of in zip(tables, (None, "abs"), strict=True):
        lines = table.splitlines()[2:]
        assert len(lines) == 10
        for line in lines:
            model, *cells, least = (
                part.strip(" `") for part in line.split("|")[1:-1]
            )
            for title, cell in zip(TITLES.values(), cells, strict=True):
                found = re.match(r"(\d+)%, ([\d.]+|inf)", cell)
                for number, row in zip(
                    found.groups(), ("accuracy", "median"), strict=True
                ):
                    check(float(number), model, f"All {title}, {row}", of)
            accuracy = re.match(r"(\d+)%", least)[1]
            check(float(accuracy), model, "Minimal accuracy", of)


def test_the_readme_says_how_many_images():
    samples = collections.defaultdict(set)
    for model, _, sample in distances():
        samples[model].add(sample)
    counts = {model: len(found) for model, found in samples.items()}
    rest = {
        count
        for model, count in counts.items()
        if model not in ("abs", "bi_abs")
    }
    text = " ".join((ROOT / "README.md").read_text().split())
    assert rest == {counts["dim"]}
    assert (
        f"on {counts['dim']} test images (ABS and biABS on {counts['abs']})"
    ) in text
    assert counts["bi_abs"] == counts["abs"]


def test_readme_and_build_have_the_hours_that_records_took():
    seconds = collections.Counter()
    folders = (RECORDS, BRENDEL_BETHGE, REFINED, WEAKEST_REFINED)
    for folder in (*folders, AUTOATTACK, EXTRA, STRAIGHT_THROUGH):
        table = results.read(folder, ["model", "seconds"])
        for row in table.to_pylist():
            seconds[row["model"]] += row["seconds"]
    hours = f"about {seconds.total() / 3600:.0f} hours of one core"
    searching = (seconds["abs"] + seconds["bi_abs"]) / 3600
    build, readme = (
        " ".join((ROOT / name).read_text().split())
        for name in ("BUILD.md", "README.md")
    )
    assert hours in readme
    assert f"{hours}, of which ABS and biABS take {searching:.0f}." in build


def test_the_tables_of_autoattack_are_those_of_its_records():
    auto, paper = distances(AUTOATTACK), distances(RECORDS)
    for norm in ("l1", "l2", "linf"):
        title = TITLES[norm]
        # A pixel next to white may be rounded by as much as the last summand.
        limit = THRESHOLDS[norm] * (1 + 1e-6) + 1e-7
        (rows,) = re.findall(
            rf"^\| {title} \| APGD .*\n\|--.*\n((?:\|.*\n)+)",
            PAGE,
            re.MULTILINE,
        )
        lines = rows.splitlines()
        assert len(lines) == 10
        for line in lines:
            model, *cells = (part.strip(" `") for part in line.split("|")[1:-1])
            keys = [key for key in auto if key[:2] == (model, norm)]
            found = [
                [auto[key][f"{norm}_{attack}"] for key in keys]
                for attack in ("apgd_ce", "apgd_t", "fab_t", "square")
            ]
            found.append([min(auto[key].values()) for key in keys])
            found.append([min(paper[key].values()) for key in keys])
            found.append([min(pair) for pair in zip(*found[-2:], strict=True)])
            for cell, own in zip(cells, found, strict=True):
                robust = sum(each > limit for each in own) / len(own)
                assert cell.startswith(f"{robust:.0%}"), (model, norm)
            median = float(cells[-1].partition(", ")[2])
            assert math.isclose(median, statistics.median(own), rel_tol=0.051)


def test_the_readme_says_what_autoattack_leaves():
    auto_records, paper_records = (
        results.read(folder, results.WITHOUT_IMAGES)
        for folder in (AUTOATTACK, RECORDS)
    )
    # The paper's attacks on the images of AutoAttack alone.
    images = auto_records.select(["model", "sample"])
    paper_records = paper_records.join(
        images, ["model", "sample"], join_type="left semi"
    )
    auto, paper = left_of(auto_records), left_of(paper_records)
    more: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for (model, norm), left in auto.items():
        more[norm][model] = left - paper[model, norm]
    # As the page says.
    assert max(more["linf"].values()) <= 0
    assert {model for model, extra in more["l1"].items() if extra >= 0} == {
        "bi_cnn",
        "bi_abs",
    }
    for norm in more:
        # Of fewer images.
        del more[norm]["abs"], more[norm]["bi_abs"]
    of_bi_dim = more["l2"].pop("bi_dim")
    l1, l2, linf = (more[norm].values() for norm in ("l1", "l2", "linf"))
    words = (
        f"they leave up to {-min(linf)} fewer than those in Linf, and never "
        f"more; in L1 from {-min(l1)} fewer to {max(l1)} more; in L2 from "
        f"{-min(l2)} fewer to {max(l2)} more, but of biDIM {of_bi_dim} more"
    )
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert words in readme
    passes = passes_of(paper_records)
    shares = {
        model: own / passes[model]
        for model, own in passes_of(auto_records).items()
    }
    of_abs = shares.pop("abs")
    assert (
        "at most a fifth of the passes of the paper's attacks, of ABS "
        f"{100 * of_abs:.0f} %."
    ) in readme
    assert max(shares.values()) <= 0.2


def test_the_published_loss_is_half_blind_on_internal_models():
    own, published = (
        {
            (cell.model, cell.attack): len(cell.samples)
            - int(reporting.robust(cell).sum())
            for cell in reporting.cells(
                results.read(folder, results.WITHOUT_IMAGES)
            )
        }
        for folder in (AUTOATTACK, EXTRA)
    )
    found = {
        (model, attack.removesuffix("_apgd_dlr")): (
            count,
            own[model, attack.replace("_dlr", "_t")],
        )
        for (model, attack), count in published.items()
        if attack.endswith("_apgd_dlr")
    }
    internal = ("dim", "bi_dim", "im", "single_im", "dn_single_im")
    for key in (("bi_dim", "l2"), *((model, "l1") for model in internal)):
        dlr, lead = found[key]
        assert dlr < lead / 2, key
    assert [key for key, (dlr, lead) in found.items() if dlr > lead] == [
        ("bi_cnn", "linf")
    ]


def check_runs(cells, keys, attacks=None):
    """Checks what either surrogate and both leave, three cells of the page.

    Args:
        cells: of a model and a norm.
        keys: its model, norm and samples, as of `distances`.
        attacks: that the first two are of; None: all with both surrogates.

    Returns:
        What is left in the last of the cells: distances in the keys' order.
    """
    sigmoid, identity = distances(), distances(STRAIGHT_THROUGH)
    model, norm, _ = keys[0]
    found = [{}, {}, {}]
    for key in keys:
        names = attacks or identity[key]
        found[0][key] = min(sigmoid[key][name] for name in names)
        found[1][key] = min(identity[key][name] for name in names)
        runs = (*sigmoid[key].values(), *identity[key].values())
        found[2][key] = min(runs)
    for cell, own in zip(cells, found, strict=True):
        check_closest(re.sub(r" \[.*\]", "", cell), own, model, norm)
    return list(found[2].values())


def test_the_table_of_the_other_surrogate_is_that_of_its_records():
    (rows,) = re.findall(
        r"^\| \| `bi_dim`, sigmoid \| .*\n\|--.*\n((?:\|.*\n)+)", PAGE, re.M
    )
    known = distances(STRAIGHT_THROUGH)
    names = {attack for found in known.values() for attack in found}
    access = {name: spec.access for name, spec in PAPER.items()}
    assert names == {name for name in access if access[name] == GRADIENTS}
    for norm, line in zip(THRESHOLDS, rows.splitlines(), strict=True):
        _, *cells = (part.strip() for part in line.split("|")[1:-1])
        for place, model in enumerate(("bi_dim", "bi_cnn")):
            keys = [key for key in known if key[:2] == (model, norm)]
            assert len(keys) == 100
            check_runs(cells[3 * place : 3 * place + 3], keys)


def test_the_readme_says_what_is_left_with_the_other_surrogate_too():
    words = "biDIM keeps {} in its weakest norm instead of {}, and biABS {} "
    words += "instead of {} (of its 40 images"
    shares = []
    for model in ("bi_dim", "bi_abs"):
        for folders in ((RECORDS, STRAIGHT_THROUGH), (RECORDS,)):
            least = collections.defaultdict(lambda: math.inf)
            for folder in folders:
                for key, found in distances(folder).items():
                    least[key] = min(least[key], *found.values())
            robust = {norm: [] for norm in THRESHOLDS}
            for (of, norm, _), distance in least.items():
                if of == model:
                    limit = THRESHOLDS[norm] * (1 + 1e-6)
                    robust[norm].append(distance > limit)
            weakest = min(map(statistics.mean, robust.values()))
            shares.append(f"{weakest:.0%}")
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert words.format(*shares) in readme


def test_the_two_are_attacked_with_the_other_surrogate_on_common_images():
    (rows,) = re.findall(
        r"^\| Brendel-Bethge \| .*\n\|--.*\n((?:\|.*\n)+)", PAGE, re.M
    )
    known = distances(STRAIGHT_THROUGH)
    samples = sorted({sample for of, _, sample in known if of == "bi_abs"})
    assert len(samples) == 40
    for norm, line in zip(("l0", "l1"), rows.splitlines(), strict=True):
        _, *cells = (part.strip() for part in line.split("|")[1:-1])
        left = []
        for place, model in enumerate(("bi_dim", "bi_abs")):
            keys = [(model, norm, sample) for sample in samples]
            own = cells[3 * place : 3 * place + 3]
            left.append(check_runs(own, keys, [f"{norm}_brendel_bethge"]))
        # As the words below the table say.
        ours, theirs = map(np.array, left)
        more, fewer = int((theirs > ours).sum()), int((theirs < ours).sum())
        apart = binomtest(more, more + fewer).pvalue < 0.01
        assert apart == (norm == "l0"), (more, fewer)
        assert norm == "l1" or more > fewer


def test_what_latent_descent_leaves_is_in_its_records():
    (row,) = re.findall(r"^\| `l2_latent_descent` \| (.*) \|", PAGE, re.M)
    known = distances(EXTRA)
    models = ("dim", "bi_dim", "im", "single_im", "dn_single_im")
    for model, cell in zip(
        (*models, "abs", "bi_abs"), row.split(" | "), strict=True
    ):
        own = {
            key: found["l2_latent_descent"]
            for key, found in known.items()
            if key[:2] == (model, "l2")
        }
        check_closest(cell, own, model, "l2")


def passes_of(records):
    """By model, its passes that attacks in L1, L2 and Linf took."""
    found = collections.Counter()
    columns = ["model", "norm", "preset", "forwards", "backwards"]
    for row in records.select(columns).to_pylist():
        if row["norm"] != "l0" and row["preset"] != "probe":
            found[row["model"]] += row["forwards"] + row["backwards"]
    return found


def left_of(records):
    """By model and norm: how many images all attacks leave."""
    cells = reporting.cells(records)
    return {
        (cell.model, norm): int(reporting.robust(cell).sum())
        for norm in ("l1", "l2", "linf")
        for cell in reporting.closest_by_model(cells, norm)
    }


def test_adversarials_count_in_every_norm():
    least = across_norms(RECORDS)
    header = r"^\|  \| L2 \| Linf \| L0 \| L1 \|\n.*\n"
    (rows,) = re.findall(
        header + r"((?:\| `\w+` \| .*\n)+)", PAGE, re.MULTILINE
    )
    lines = rows.splitlines()
    assert len(lines) == 10
    for line in lines:
        model, *cells = (part.strip(" `") for part in line.split("|")[1:-1])
        for norm, cell in zip(THRESHOLDS, cells, strict=True):
            check_closest(cell, least, model, norm)
        # As the words below the table say.
        share = float(cells[1].partition("%")[0])
        check(share, model, "All Linf, accuracy")


def test_what_binarization_hides_is_that_of_the_refined_records():
    header = r"^\| \| `bi_cnn` \| refined \| paper .*\n\|--.*\n((?:\|.*\n)+)"
    (rows,) = re.findall(header, PAGE, re.MULTILINE)
    *attacks, l2, l1 = (
        [cell.strip(" `") for cell in line.strip("| ").split(" | ")]
        for line in rows.splitlines()
    )
    models = ("bi_cnn", "bi_abs", "bi_dim")
    assert len(attacks) == 4
    for attack, *cells in attacks:
        for model, plain, refined in zip(
            models, cells[::3], cells[1::3], strict=True
        ):
            check(float(plain.rstrip("%")), model, attack)
            norm, _, _ = attack.partition("_")
            table = results.read(REFINED / model / attack).to_pylist()
            limit = THRESHOLDS[norm] * (1 + 1e-6)
            left = sum(row[f"distance_{norm}"] > limit for row in table)
            assert refined == f"{left / len(table):.0%}"
    plain, refined = across_norms(RECORDS), across_norms(REFINED)
    for norm, (_, *cells) in (("l2", l2), ("l1", l1)):
        for place, model in enumerate(models):
            check_closest(cells[3 * place], plain, model, norm)
            check_closest(cells[3 * place + 1], refined, model, norm)
    # In L1, which is the last of the two.
    shares = [cell.partition(",")[0] for cell in cells]
    bi_cnn, bi_abs, bi_dim = shares[::3]
    text = " ".join((ROOT / "README.md").read_text().split())
    words = f"biDIM keeps {bi_dim}, biABS {bi_abs} and the biCNN {bi_cnn}"
    assert words in text
    bi_cnn, bi_abs, bi_dim = shares[1::3]
    assert f"cannot see, {bi_dim}, {bi_abs} and {bi_cnn}" in text


def test_what_is_refined_is_as_many_images_and_closer():
    refined = across_norms(REFINED)
    attacks = {folder.name for folder in REFINED.glob("*/*")}
    cells = [folder.relative_to(REFINED) for folder in REFINED.glob("*/*")]
    plain = across_norms(*(RECORDS / cell for cell in cells))
    assert len(attacks) == 4
    assert refined.keys() == plain.keys()
    for norm in ("l1", "l2"):
        own = [key for key in plain if key[1] == norm]
        assert all(refined[key] <= plain[key] for key in own)
        ratios = [refined[key] / plain[key] for key in own if plain[key]]
        assert statistics.median(ratios) < 0.85


def test_the_weakest_are_refined_on_the_same_images_and_closer():
    refined = distances(WEAKEST_REFINED)
    plain = distances(BRENDEL_BETHGE)
    common = refined.keys() & plain.keys()
    assert len(common) >= 2 * 1000  # in L1
    for key in common:
        for attack, distance in refined[key].items():
            assert distance <= plain[key][attack], key
