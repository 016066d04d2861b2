"""The page, its figures, its diagnostics, and the other formats of a table."""

import csv
import html.parser
import json

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.colors import to_rgba
from test_tables import records as records_of

from dim_tf.evaluation import results
from dim_tf.reporting import diagnostics
from dim_tf.reporting import figures
from dim_tf.reporting import formats
from dim_tf.reporting import html as page_module
from dim_tf.reporting import statistics
from dim_tf.reporting import tables

ROWS = [("", "`dim`"), ("`l2_bim`", "50%, paper 94%"), ("**All**", "1 *")]


def records(*cells, **changes):
    """Records of (model, attack, norm, distances), with all columns filled."""
    rows = records_of(*cells).to_pylist()
    for row in rows:
        row |= {
            "status": "success",
            "label": 3,
            "adversarial_prediction": 5,
            "adversarial": np.full(16, 0.25, np.float32),
            **{name: 1234.0 for name in results.COSTS},
            **changes,
        }
    return pa.Table.from_pylist(rows, results.SCHEMA)


def test_formats_keep_every_cell():
    lines = list(csv.reader(formats.to_csv(ROWS).splitlines()))
    assert lines == [["", "dim"], ["l2_bim", "50%, paper 94%"], ["All", "1 *"]]
    assert json.loads(formats.to_json(ROWS)) == [
        {"row": "l2_bim", "dim": "50%, paper 94%"},
        {"row": "All", "dim": "1 *"},
    ]
    latex = formats.to_latex(ROWS)
    assert r"l2\_bim & 50\%, paper 94\% \\" in latex
    assert latex.startswith("\\begin{tabular}{lr}\n\\toprule\n & dim \\\\\n")


def test_curves_fall_where_an_adversarial_is():
    cell = statistics.Cell(
        "dim", "all_l2", "l2", np.arange(4), np.array([2.0, 0.0, np.inf, 1.0])
    )
    other = statistics.Cell(
        "cnn", "all_l2", "l2", np.arange(1), np.array([np.inf])
    )
    (axes,) = figures.accuracy_curves([cell, other], "l2").axes
    first, second, threshold = axes.lines
    np.testing.assert_array_equal(
        first.get_ydata(), [1.0, 0.75, 0.5, 0.25, 0.0]
    )
    np.testing.assert_array_equal(first.get_xdata()[:4], [0, 0, 1, 2])
    assert first.get_xdata()[4] > axes.get_xlim()[1]
    assert list(threshold.get_xdata()) == [1.5, 1.5]
    # Apart without color.
    assert first.get_linestyle() != second.get_linestyle()
    assert to_rgba(first.get_color()) != to_rgba(second.get_color())


def test_the_gallery_has_the_closest_of_each_sample():
    table = records(
        ("dim", "l2_bim", "l2", [2.0, 1.0]),
        ("dim", "l2_ddn", "l2", [1.5, 3.0]),
        ("dim", "linf_pgd", "linf", [0.1, 0.1]),
    )
    titles = [
        axes.get_title() for axes in figures.gallery(table, "dim", "l2").axes
    ]
    assert titles == ["3 as 5\n1.5\nddn", "3 as 5\n1\nbim"]
    assert figures.gallery(table, "cnn", "l2") is None
    assert figures.gallery(table, "dim", "l1") is None


class Tags(html.parser.HTMLParser):
    """What a page would load, and how many figures it has."""

    def __init__(self):
        super().__init__()
        self.loads, self.figures = [], 0

    def handle_starttag(self, tag, attributes):
        self.figures += tag == "svg"
        for name, value in attributes:
            if name in ("src", "href") or name.endswith(":href"):
                self.loads.append(value)


def test_the_page_needs_nothing_else():
    table = records(
        ("dim", "l2_bim", "l2", [2.0, 1.0]),
        ("<b>cnn", "l2_bim", "l2", [0.5, np.inf]),
    )
    text = page_module.page(table, tables.results_table(table), "a & b")
    tags = Tags()
    tags.feed(text)
    assert all(load.startswith(("#", "data:")) for load in tags.loads)
    # One curve and two galleries.
    assert tags.figures == 3
    assert "<b>cnn" not in text
    assert "a &amp; b" in text
    assert "1,234" in text


def said(table):
    return diagnostics.diagnostics(table)


def test_nothing_is_said_of_sound_records():
    assert said(
        records(
            ("dim", "l2_bim", "l2", [1.0, 2.0]),
            ("dim", "l2_boundary", "l2", [1.2, 2.5]),
        )
    ) == [("note", "Nothing to report.")]


@pytest.mark.parametrize(
    ("table", "level", "words"),
    [
        (
            records(("dim", "l2_bim", "l2", [1.0]), status="error"),
            "alarm",
            "l2_bim broke on 1 samples of dim",
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
                ("dim", "l2_bim", "l2", [9.0, 1.0]),
                ("dim", "l2_boundary", "l2", [1.0, 9.0]),
            ),
            "alarm",
            "50% of the samples of dim survive the l2 attacks that use",
        ),
    ],
)
def test_signs_of_trouble_are_said_in_words(table, level, words):
    ((found, sentence),) = said(table)
    assert found == level
    assert sentence.startswith(words)
