"""docs/RESULTS.md says what the records beside it say."""

import collections
import functools
import math
import re
import statistics

from published import AUTOATTACK
from published import BRENDEL_BETHGE
from published import EXTRA
from published import PAGE
from published import RECORDS
from published import REFINED
from published import ROOT
from published import THRESHOLDS
from published import TITLES
from published import WEAKEST_REFINED
from published import across_norms
from published import check
from published import check_closest
from published import distances
from published import numbers
from published import page_cells

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
            cells.append(f" {stock / ours:.1f} " if whole else " ")
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
    for folder in (*folders, AUTOATTACK, EXTRA):
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
    }
    internal = ("dim", "bi_dim", "im", "single_im", "dn_single_im")
    for key in (("bi_dim", "l2"), *((model, "l1") for model in internal)):
        dlr, lead = found[key]
        assert dlr < lead / 2, key
    assert [key for key, (dlr, lead) in found.items() if dlr > lead] == [
        ("bi_cnn", "linf")
    ]


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
