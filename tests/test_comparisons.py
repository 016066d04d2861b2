"""Models beside the paper's and beside each other, as templates ask for it."""

import numpy as np
import pyarrow as pa
import pytest
from test_document import ALLOWED
from test_document import COMPARED
from test_document import TABLE
from test_document import fill
from test_report_page import records

from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds


@pytest.mark.usefixtures("paper_of_few")
def test_departures_are_those_beyond_the_margin(tmp_path):
    lines = fill("{{ departures(0.2) }}", tmp_path).splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [
        ["| `dim`", "`l2_bim`"],
        ["| `dim`", "`all_l2`"],
    ]
    assert lines[0].endswith(
        "| 50% [15%, 85%] | 94% | -44 | ours 50%, foolbox's 75% |"
    )
    assert lines[1].endswith("| 66% | -41 | within the interval |")


@pytest.mark.usefixtures("paper_of_few")
def test_the_paper_is_not_beside_what_is_of_other_images(tmp_path):
    table = records(
        *(
            ("dim", f"{norm}_bim", norm, [bound] * 4)
            for norm, bound in thresholds.PAPER.items()
        )
    )
    place = table.schema.get_field_index("dataset")
    others = table.set_column(place, "dataset", [["kmnist"] * len(table)])
    for expression, words in {
        "summary('dim')": "(66%, 1.9)",
        "table('dim')": "paper 66%",
        "narrowing('dim')": "| 66% |",
        "departures(0.0)": "| `l2_bim` | 0% [",
    }.items():
        template = f"{{{{ {expression} }}}}"
        assert words in fill(template, tmp_path, table)
        assert words not in fill(template, tmp_path, others)


def test_a_departure_says_how_far_draws_lie_apart(tmp_path, monkeypatch):
    row = {
        **COMPARED["dim"][1],
        "native_spread": [[0.4, 1.0]],
        "foolbox_spread": [[0.75, 1.0], [0.5, 0.9]],
    }
    monkeypatch.setitem(COMPARED, "dim", [row])
    text = fill("{{ departures(0.1) }}", tmp_path, **ALLOWED)
    assert "ours 50% (40% to 40% over 1 draws), foolbox's 75%" in text
    assert "foolbox's 75% (50% to 75% over 2 draws) |" in text


@pytest.mark.usefixtures("paper_of_few")
def test_a_departure_says_what_is_left_refined(tmp_path):
    columns = records(("dim", "l2_bim", "l2", [0.5, 0.5, 2.0, 0.5]))
    path = results.shard_path(tmp_path / "dim" / "l2_bim", range(4))
    results.write_shard(path, columns.to_pydict(), {})
    template = f"{{{{ departures(0.2, '{tmp_path}') }}}}"
    first, second = fill(template, tmp_path).splitlines()[2:]
    assert first.endswith("| ours 50%, foolbox's 75%; refined 25% |")
    assert second.endswith("| within the interval; refined 25% |")


def test_a_departure_may_be_what_others_find_in_the_paper(tmp_path):
    # The paper has 71 % of dim under this attack, and 66 % under all.
    left = [2.0] * 60 + [0.5] * 40
    table = records(("dim", "l2_brendel_bethge", "l2", left))
    (line,) = fill("{{ departures(0.1) }}", tmp_path, table).splitlines()[2:]
    assert line.endswith(
        "| 60% [50%, 69%] | 71% | -11 | the paper's other attacks leave 66% |"
    )


@pytest.mark.usefixtures("paper_of_few")
def test_a_departure_beyond_the_interval_names_its_attack(tmp_path):
    table = records(
        ("dim", "l2_ddn", "l2", [0.5, 0.5, 0.5, 0.5]),
        ("dim", "l2_bim", "l2", [2.0, 2.0, 2.0, 2.0]),
    )
    lines = fill("{{ departures(0.2) }}", tmp_path, table).splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines] == ["`l2_ddn`", "`all_l2`"]
    assert lines[0].endswith(" | - |")
    assert lines[1].endswith(" | `l2_ddn` alone 0% |")


def test_models_are_paired_image_by_image(tmp_path):
    table = records(
        ("dim", "l2_bim", "l2", [1.0, 2.0, np.inf, 4.0, 0.0]),
        ("im", "l2_bim", "l2", [2.0, 1.0, 3.0, 3.0, 0.0]),
        *((model, "l1_bim", "l1", 5 * [1.0]) for model in ("dim", "im")),
    )
    text = fill("{{ paired(('dim', 'im'), ('im', 'dim')) }}", tmp_path, table)
    header, _, *rows = text.splitlines()
    assert header == "|  | L2 | L1 |"
    assert rows == [
        "| `dim` over `im` | 75% [19%, 99%] | - |",
        "| `im` over `dim` | 25% [1%, 81%] | - |",
    ]
    # Within 1.5, `im` alone holds on the first image and `dim` on the second.
    text = fill("{{ paired(('dim', 'im'), within=True) }}", tmp_path, table)
    assert text.splitlines()[2] == "| `dim` over `im` | 50% [1%, 99%] | - |"
    with pytest.raises(ValueError, match="no records of mine"):
        fill("{{ paired(('dim', 'mine')) }}", tmp_path, table)


def test_models_are_paired_in_a_norm_that_attacks_do_not_look_at(tmp_path):
    table = records(
        ("dim", "l2_bim", "l2", [1.0, 2.0, 3.0]),
        ("im", "l2_bim", "l2", [2.0, 2.0, 2.0]),
    ).to_pylist()
    by_row = [7.0, 9.0, 9.0, 6.0, 6.0, 9.0]
    for row, distance in zip(table, by_row, strict=True):
        row["distance_l1"] = distance
    table = pa.Table.from_pylist(table, TABLE.schema)
    text = fill("{{ paired(('dim', 'im'), across=('l1',)) }}", tmp_path, table)
    assert text.splitlines() == [
        "|  | L1 |",
        "| -- | -- |",
        "| `dim` over `im` | 100% [16%, 100%] |",
    ]
    text = fill(
        "{{ paired(('dim', 'im'), within=True, across=('l2', 'l1')) }}",
        tmp_path,
        table,
    )
    row = "| `dim` over `im` | 0% [0%, 98%] | 100% [3%, 100%] |"
    assert text.splitlines()[2] == row
    with pytest.raises(ValueError, match="unknown norm 'l3'"):
        fill("{{ paired(('dim', 'im'), across=('l3',)) }}", tmp_path, table)


def test_a_minimum_over_fewer_attacks_is_not_the_paper_s(tmp_path):
    expressions = ("summary('dim')", "narrowing('dim')", "departures(0.0)")
    table = records(
        *(
            ("dim", f"{norm}_bim", norm, [bound] * 4)
            for norm, bound in thresholds.PAPER.items()
        )
    )
    for expression in expressions:
        text = fill(f"{{{{ {expression} }}}}", tmp_path, table)
        assert "66%" not in text
        assert "all_l2" not in text


def test_norms_count_where_all_attacks_have_a_sample(tmp_path):
    table = records(
        ("dim", "l2_bim", "l2", [1.0, 1.0, 1.0]),
        ("dim", "linf_bim", "linf", [0.1, np.inf]),
    ).to_pylist()
    for row, distance in zip(table, [9.0, 9.0, 1.0, 1.0, 9.0], strict=True):
        row["distance_l1"] = distance
    table = pa.Table.from_pylist(table, TABLE.schema)
    (row,) = fill("{{ across_norms('dim') }}", tmp_path, table).splitlines()[2:]
    assert row.endswith(" | 50%, 5 |")
    assert fill("{{ samples('dim') }}", tmp_path, table) == "2"
    apart = records(("dim", "l2_bim", "l2", [1.0]))
    others = records(("dim", "linf_bim", "linf", [1.0]), sample=99)
    table = pa.concat_tables([apart, others])
    (row,) = fill("{{ across_norms('dim') }}", tmp_path, table).splitlines()[2:]
    assert row == "| `dim` | -, - | -, - | -, - | -, - |"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("curves('l3')", "unknown norm 'l3', expected one of l2, linf"),
        ("gallery('L2')", "unknown norm 'L2'"),
        ("accuracy('all_l2')", "the template is wrong: .* 'model'"),
    ],
)
def test_what_a_template_asks_wrongly_is_named(expression, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        fill(f"{{{{ {expression} }}}}", tmp_path)
