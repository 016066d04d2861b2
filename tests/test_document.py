"""Templates get their numbers and pictures from records."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image
from test_benchmarks import record
from test_report_page import records
from test_tables import half_a_sweep

from dim_tf import report
from dim_tf.evaluation import results
from dim_tf.reporting import document
from dim_tf.reporting import drawing

TABLE = pa.concat_tables(
    [
        records(
            ("dim", "l2_bim", "l2", [1.0, 2.0, 3.0, 0.0]),
            ("dim", "l2_rep_gauss", "l2", [4.0, 1.4, 5.0, 0.0]),
            ("cnn", "l2_bim", "l2", [0.5, 0.5, 0.5, 0.5]),
            ("cnn", "l2_rep_gauss", "l2", [2.0, 0.5, 0.5, 0.5]),
        )
    ]
)
COMPARED = {
    "dim": [
        {
            "attack": "l2_bim",
            "batch_size": size,
            "native_robust_accuracy": ours,
            "foolbox_robust_accuracy": stock,
        }
        for size, ours, stock in ((1, 0.0, 1.0), (4, 0.5, 0.75), (9, 1.0, 1.0))
    ]
}
ALLOWED = {"allow_missing": True}


def fill(template, folder, table=TABLE, images=None, **options):
    if images is None:
        images = {5: np.full((4, 4, 1), 0.25), 6: np.full((4, 4, 1), 0.75)}

    def adversarials(model, samples):
        return {
            (attack, each): images[each]
            for attack, own in samples.items()
            for each in own
            if each in images
        }

    return document.fill(
        template, table, adversarials, folder, compared=COMPARED, **options
    )


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("accuracy('l2_bim', 'dim')", "50%"),
        ("accuracy('all_l2', 'dim')", "25%"),
        ("interval('all_l2', 'dim')", "25% [5%, 70%]"),
        ("median('all_l2', 'dim')", "1.2"),
        ("paper('l2_bim', 'dim')", "94%"),
        ("paper('all_l2_median', 'dim')", "1.9"),
        ("samples('cnn')", "4"),
    ],
)
def test_numbers_for_sentences(expression, text, tmp_path):
    assert fill(f"a {{{{ {expression} }}}} b\n", tmp_path) == f"a {text} b\n"


def test_minimal_accuracy_is_that_of_the_weakest_norm(tmp_path):
    distances = {
        "l2": [2.0, 2.0, 2.0, 0.0],
        "linf": [0.4, 0.2, 0.4, 0.0],
        "l0": [13.0, 1.0, 1.0, 0.0],
        "l1": [9.0, 9.0, 9.0, 9.0],
    }
    table = records(
        *(("dim", f"{norm}_bim", norm, own) for norm, own in distances.items())
    )
    expression = "{{ accuracy('minimal_accuracy', 'dim') }}"
    assert fill(expression, tmp_path, table) == "25%"
    with pytest.raises(ValueError, match="no records of all_linf on dim"):
        fill(expression, tmp_path)


def test_an_adversarial_counts_in_every_norm(tmp_path):
    table = records(
        ("dim", "l2_bim", "l2", [2.0, 1.0, np.inf, 0.0]),
        ("dim", "l1_bim", "l1", [5.0, 5.0, 5.0, 0.0]),
        ("dim", "l1_bim_another_start", "l1", [0.5, 0.5, 0.5, 0.0]),
    ).to_pylist()
    others = {
        # In the norm that the attack does not look at.
        "l2_bim": ("distance_l1", [4.0, 9.0, np.inf, 0.0]),
        "l1_bim": ("distance_l2", [1.2, 1.2, 1.2, 0.0]),
        "l1_bim_another_start": ("distance_l2", [0.1, 0.1, 0.1, 0.0]),
    }
    for row in table:
        name, values = others[row["attack"]]
        row[name] = values[row["sample"] - table[0]["sample"]]
        row["distance_linf"] = row["distance_l0"] = np.inf
        if row["attack"].endswith("another_start"):
            row["preset"] = results.PROBE
    found = fill(
        "{{ across_norms('dim') }}",
        tmp_path,
        pa.Table.from_pylist(table, TABLE.schema),
    )
    assert found.splitlines()[2:] == [
        "| `dim` | 0%, 1.1 | 100%, inf | 100%, inf | 0%, 4.5 |"
    ]


@pytest.mark.usefixtures("paper_of_few")
def test_a_summary_has_the_paper_s_values_in_brackets(tmp_path):
    bounds = {"l2": 2.0, "linf": 0.2, "l0": 13.0, "l1": 9.0}
    table = records(
        *(
            (model, f"{norm}_bim", norm, [bound] * 4)
            for model in ("dim", "im")
            for norm, bound in bounds.items()
        )
    )
    lines = fill("{{ summary('dim', 'im') }}", tmp_path, table).splitlines()
    assert lines[0] == "|  | L2 | Linf | L0 | L1 | least |"
    assert lines[2:] == [
        "| `dim` | 100%, 2 (66%, 1.9) | 0%, 0.2 (8%, 0.2) "
        "| 100%, 13 (59%, 14) | 100%, 9 (65%, 11) | 0% (8%) |",
        "| `im` | 100%, 2 (51%) | 0%, 0.2 (0%) | 100%, 13 (50%) "
        "| 100%, 9 (57%) | 0% |",
    ]


def test_a_table_has_the_rows_and_the_models_asked_for(tmp_path):
    header, _, *rows = fill("{{ table('cnn', 'dim') }}", tmp_path).splitlines()
    assert header == "|  | `cnn` | `dim` |"
    assert rows[0].startswith("| `l2_bim` | 0% [0%, 49%]<br>paper 17% | 50% [")
    # The paper says nothing of it, but its minimum counts it.
    assert "l2_rep_gauss" not in "".join(rows)
    # And that is of more attacks than these.
    assert rows[1].startswith("| **All L2, accuracy** | 0% [0%, 49%] |")
    every = fill("{{ every_attack('dim') }}", tmp_path)
    assert "| `l2_rep_gauss` | 50% [" in every
    assert "cnn" not in every


def test_the_closest_attacks_are_counted(tmp_path):
    lines = fill("{{ closest() }}", tmp_path).splitlines()[2:]
    # Of three samples of dim that fall; misclassified ones tell nothing.
    assert lines == [
        "| `l2_bim` | 67% | 100% |",
        "| `l2_rep_gauss` | 33% | 75% |",
    ]


@pytest.mark.usefixtures("paper_of_few")
def test_a_minimum_narrows_attack_by_attack(tmp_path):
    table = records(
        ("dim", "l2_bim", "l2", [1.0, 2.0, 3.0, 4.0]),
        ("dim", "l2_pgd", "l2", [1.0, 3.0, 3.0, 4.0]),
        ("dim", "l2_ddn", "l2", [2.0, 1.0, 1.0, 4.0]),
        ("dim", "linf_pgd", "linf", [0.1, 0.1, 0.1, 0.1]),
    )
    lines = fill("{{ narrowing('dim') }}", tmp_path, table).splitlines()[2:]
    # PGD finds nothing that BIM does not.
    assert lines == [
        "| `dim` | L2 | `l2_ddn` | 50% [15%, 85%] | 1.5 |  |",
        "| `dim` | L2 | and `l2_bim` | 25% [5%, 70%] | 1 | 66% |",
        "| `dim` | Linf | `linf_pgd` | 0% [0%, 49%] | 0.1 | 8% |",
    ]
    with pytest.raises(ValueError, match="no records of cnn"):
        fill("{{ narrowing('cnn') }}", tmp_path, table)


def test_what_is_of_no_sample_is_a_dash(tmp_path):
    table = half_a_sweep(records)
    asked = (
        "accuracy('all_l2', 'dim')",
        "median('all_l2', 'dim')",
        "interval('all_l2', 'dim')",
        "accuracy('all_l2', 'cnn')",
        "accuracy('l2_bim', 'dim')",
    )
    template = " ".join(f"{{{{ {each} }}}}" for each in asked)
    found = fill(template, tmp_path, table, **ALLOWED)
    assert found == "- - - 50% 50%"
    tables = {
        "closest()": ["| `l2_bim` | - | 100% |", "| `l2_boundary` | - | - |"],
        "paired(('dim', 'cnn'))": ["| `dim` over `cnn` | - |"],
        "narrowing('dim')": [],
    }
    for expression, rows in tables.items():
        text = fill(f"{{{{ {expression} }}}}", tmp_path, table, **ALLOWED)
        assert text.splitlines()[2:] == rows
    dim = table.filter(pc.field("model") == "dim")
    assert fill("{{ curves('l2') }}", tmp_path, dim, **ALLOWED) == "-"
    fill(
        "{{ every_attack('dim') }}{{ departures(0) }}", tmp_path, dim, **ALLOWED
    )


def test_costs_are_means_over_the_attacked(tmp_path):
    columns = TABLE.to_pydict()
    columns["status"] = [
        "misclassified" if d == 0 else "success" for d in columns["distance_l2"]
    ]
    columns["forwards"] = [1000 + 10 * n for n in range(16)]
    columns["backwards"] = [n for n in range(16)]
    columns["seconds"] = [0.5 + n for n in range(16)]
    for broken in (4, 6):
        columns["status"][broken] = "error"
        for cost in ("forwards", "backwards", "seconds"):
            columns[cost][broken] = 0
    table = pa.table(columns, TABLE.schema)
    header, _, *rows = fill("{{ costs() }}", tmp_path, table).splitlines()
    assert header == "|  | `cnn` | `dim` |"
    assert rows == [
        "| `l2_bim` | 1,095 + 10, 10 s | 1,010 + 1, 1.5 s |",
        "| `l2_rep_gauss` | 1,135 + 14, 14 s | 1,050 + 5, 5.5 s |",
        "| **together** | 24 s | 7 s |",
        "| **with probes** | 24 s | 7 s |",
        "| **1,000 images** | 6.7 h | 1.9 h |",
    ]
    columns["preset"][:4] = 4 * ["probe"]
    table = pa.table(columns, TABLE.schema)
    with pytest.raises(ValueError, match="l2_bim on dim. Finish the sweep"):
        fill("{{ costs() }}", tmp_path, table)
    *_, together, probed, _ = fill(
        "{{ costs() }}", tmp_path, table, allow_missing=True
    ).splitlines()
    assert together == "| **together** | 24 s | 5.5 s |"
    assert probed == "| **with probes** | 24 s | 7 s |"


def test_pictures_are_drawn_and_shown(tmp_path):
    folder = tmp_path / "results"
    text = fill("{{ curves('l2') }} {{ gallery('l2') }}", folder)
    assert "(results/curves_l2.png)" in text
    assert "(results/gallery_l2.png)" in text
    for name in ("curves_l2", "gallery_l2"):
        assert np.array(Image.open(folder / f"{name}.png")).std() > 0


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ accuracy('l2_bim', 'im') }}", "no records of l2_bim on im"),
        ("{{ unknown }}", "the template is wrong: 'unknown' is undefined"),
        ("{{ table('dim' }}", "the template is wrong: "),
        ("{{ paper('l2_bim', 'mine') }}", "the paper has no l2_bim of mine"),
        ("{{ table('mine') }}", "no records of mine"),
    ],
)
def test_a_wrong_template_is_refused_in_words(template, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        fill(template, tmp_path)


def test_a_template_needs_records_and_a_place():
    with pytest.raises(ValueError, match=r"got --results='' and --output='a'"):
        report.ReportConfig(template="words.md.jinja", output="a")


def test_only_some_adversarials_are_kept(tmp_path):
    columns = TABLE.slice(0, 4).to_pydict()
    columns["adversarial"][1:] = [None, None, None]
    path = results.shard_path(tmp_path / "dim" / "l2_bim", range(4))
    results.write_shard(path, columns, {})
    found = results.adversarials(tmp_path, "dim", {"l2_bim": [5, 6]})
    assert found.keys() == {("l2_bim", 5)}


def test_models_of_more_samples_are_asked_of_those_of_another(tmp_path):
    table = pa.concat_tables(
        [
            records(("dim", "l2_bim", "l2", [1.0, 2.0, 3.0, 0.0])),
            records(("abs", "l2_bim", "l2", [1.0, 2.0])),
        ]
    )
    expression = "{{ %s.samples('dim') }}, {{ %s.accuracy('all_l2', 'dim') }}"
    own = "on_samples_of('abs')"
    text = fill(expression % (own, own), tmp_path, table)
    assert text == "2, 50%"
    with pytest.raises(ValueError, match="no records of cnn"):
        fill("{{ on_samples_of('cnn').samples('dim') }}", tmp_path, table)


def test_a_model_is_asked_of_its_samples_in_other_records(tmp_path):
    path = results.shard_path(tmp_path / "fewer" / "dim" / "l2_pgd", range(2))
    fewer = records(("dim", "l2_pgd", "l2", [5.0, 6.0]))
    results.write_shard(path, fewer.to_pydict(), {})
    table = records(("dim", "l2_bim", "l2", [1.0, 2.0, 3.0, 4.0]))
    few = f"on_samples_of('dim', records('{tmp_path / 'fewer'}'))"
    for asked, expected in (
        ("samples('dim')", "2"),
        ("accuracy('l2_bim', 'dim')", "50%"),
    ):
        assert fill(f"{{{{ {few}.{asked} }}}}", tmp_path, table) == expected
        assert fill(f"{{{{ {asked} }}}}", tmp_path, table) != expected


def test_other_runs_of_attacks_are_set_apart_or_count_too(tmp_path):
    for folder, attack, sizes in (
        ("own", "l2_bim", [1.0, 2.0, 2.0]),
        ("own", "l2_pgd", [2.0, 2.0, 1.0]),
        ("other", "l2_bim", [2.0, 1.0, 1.0]),
    ):
        columns = records(("dim", attack, "l2", sizes)).to_pydict()
        path = results.shard_path(tmp_path / folder / "dim" / attack, range(3))
        results.write_shard(path, columns, {})
    table = results.read(tmp_path / "own", results.WITHOUT_IMAGES)
    other = f"records('{tmp_path / 'other'}')"
    for numbers, left in (
        ("", "33%"),
        (f"{other}.", "33%"),
        (f"of_attacks_in({other}).", "67%"),
        (f"with_runs_of({other}).", "0%"),
    ):
        asked = f"{{{{ {numbers}accuracy('all_l2', 'dim') }}}}"
        assert fill(asked, tmp_path, table) == left, numbers


def test_an_attack_may_have_more_samples_than_another(tmp_path):
    table = records(
        ("dim", "l2_bim", "l2", [1.0, 2.0, 3.0]),
        ("dim", "l1_sld", "l1", [9.0, 8.0]),
    )
    for asked, count in (("'dim'", 2), ("'dim', 'l2_bim'", 3)):
        text = fill(f"{{{{ samples({asked}) }}}}", tmp_path, table)
        assert text == str(count)


def test_a_template_may_ask_other_records(tmp_path):
    others = tmp_path / "others"
    columns = TABLE.slice(8, 4).to_pydict()
    path = results.shard_path(others / "cnn" / "l2_bim", range(4))
    results.write_shard(path, columns, {})
    asked = "accuracy('l2_bim', 'cnn')"
    template = f"{{{{ {asked} }}}} {{{{ records('{others}').{asked} }}}}"
    more = TABLE.slice(0, 8)
    with pytest.raises(ValueError, match="no records of l2_bim on cnn"):
        fill(template, tmp_path, more)
    assert fill(template, tmp_path) == "0% 0%"


def test_a_template_may_ask_the_records_of_several_folders_together(tmp_path):
    folders = []
    for attack, sizes in (("l2_bim", [1.0, 2.0]), ("l2_pgd", [2.0, 1.0])):
        folders.append(tmp_path / attack)
        columns = records(("cnn", attack, "l2", sizes)).to_pydict()
        path = results.shard_path(folders[-1] / "cnn" / attack, range(2))
        results.write_shard(path, columns, {})
    asked = "accuracy('all_l2', 'cnn')"
    first, both = (
        ", ".join(repr(str(folder)) for folder in folders[:count])
        for count in (1, 2)
    )
    template = (
        f"{{{{ records({first}).{asked} }}}} {{{{ records({both}).{asked} }}}}"
    )
    assert fill(template, tmp_path) == "50% 0%"
    columns = records(("dim", "l2_bim", "l2", [1.0])).to_pydict()
    path = results.shard_path(tmp_path / "r" / "dim" / "l2_bim", range(1))
    results.write_shard(path, columns, {"refinement": "yes"})
    mixed = f"{{{{ records({first}, '{tmp_path / 'r'}').{asked} }}}}"
    with pytest.raises(ValueError, match="some of these records are refined"):
        fill(mixed, tmp_path)


def test_a_template_may_ask_for_races(tmp_path):
    races = [record("l2_bim", 100, 2.0, 1.0), record("l2_pgd", 100, 2.0, 1.0)]
    (tmp_path / "dim_x10.json").write_text(json.dumps(races))

    def asked(*names):
        words = ", ".join(map(repr, (str(tmp_path), *names)))
        return fill(f"{{{{ raced({words}) }}}}", tmp_path)

    assert asked("foolbox", "l2_bim", "dim_x10") == "25%"
    assert asked("native", "l2_bim", "dim_x10") == "20%"
    for names in (("l2_ddn", "dim_x10"), ("l2_bim", "dim")):
        with pytest.raises(ValueError, match="has no single race of"):
            asked("foolbox", *names)
    with pytest.raises(ValueError, match="of foolbox and native, got 'ours'"):
        asked("ours", "l2_bim", "dim_x10")


def test_a_gallery_may_be_of_other_records(tmp_path, monkeypatch):
    others = tmp_path / "others"
    columns = TABLE.slice(8, 4).to_pydict()
    path = results.shard_path(others / "cnn" / "l2_bim", range(4))
    results.write_shard(path, columns, {})
    drawn = []
    draw = drawing.figures.gallery
    monkeypatch.setattr(
        drawing.figures,
        "gallery",
        lambda shown, *rest: drawn.append(shown) or draw(shown, *rest),
    )
    folder = tmp_path / "results"
    text = fill(f"{{{{ gallery('l2', '{others}') }}}}", folder, images={})
    assert "(results/gallery_l2_others.png)" in text
    assert np.array(Image.open(folder / "gallery_l2_others.png")).std() > 0
    (shown,) = drawn
    assert shown.keys() == {"cnn"}
    drawn = [row["adversarial"] for row in shown["cnn"]]
    np.testing.assert_array_equal(drawn, np.full((4, 4, 4, 1), 0.25))
    nothing = fill("{{ gallery('linf') }}", folder, images={})
    assert nothing == "-"
