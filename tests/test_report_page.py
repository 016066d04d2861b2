"""The page, its figures, and the other formats of a table."""

import base64
import csv
import html.parser
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import rich.console
from matplotlib.colors import to_rgba
from PIL import Image
from test_tables import half_a_sweep
from test_tables import records as records_of

from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds
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
            "gradient": 0.5,
            **{name: 1234.0 for name in results.COSTS},
            **changes,
        }
    return pa.Table.from_pylist(rows, results.READ_SCHEMA)


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
        "dim",
        "all_l2",
        "l2",
        np.arange(4),
        np.array([2.0, 0.0, np.inf, 1.0]),
        1.5,
    )
    other = statistics.Cell(
        "cnn", "all_l2", "l2", np.arange(1), np.array([np.inf]), 1.5
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
    rows = figures.closest(table, "dim", "l2")
    assert [(row["sample"], row["attack"]) for row in rows] == [
        (5, "l2_ddn"),
        (6, "l2_bim"),
    ]
    assert figures.closest(table, "cnn", "l2") == []


# Three times 8 by 6 is a square.
@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 5, 1), (4, 4, 3), (8, 6, 3)])
def test_an_image_is_its_png(shape, generator):
    levels = generator.integers(0, 256, shape).astype(np.uint8)
    head, _, code = figures.png(levels / 255).partition(",")
    assert head == "data:image/png;base64"
    read = Image.open(io.BytesIO(base64.b64decode(code)))
    np.testing.assert_array_equal(np.array(read).reshape(shape), levels)


@pytest.mark.parametrize("shape", [(4, 5, 1), (8, 6, 3)])
def test_a_gallery_draws_images_in_their_shape(shape, generator):
    table = records(("dim", "l2_bim", "l2", [2.0]))
    image = generator.uniform(size=shape)
    rows = figures.pictured(
        table, "dim", "l2", lambda *_: {("l2_bim", 5): image}
    )
    (axes,) = figures.gallery({"dim": rows}, "l2", "title").axes
    (drawn,) = axes.get_images()
    np.testing.assert_array_equal(drawn.get_array().reshape(shape), image)


def test_what_has_no_colors_to_draw_is_left_out():
    table = records(("dim", "l2_bim", "l2", [2.0]))
    image = np.zeros((4, 4, 2))
    assert not figures.pictured(
        table, "dim", "l2", lambda *_: {("l2_bim", 5): image}
    )
    rows = tables.results_table(table)
    text = page_module.page(
        table, rows, [], "none", lambda *_: {("l2_bim", 5): image}
    )
    assert "none that can be drawn" in text


def test_boxes_hold_the_samples_that_fall():
    falls = statistics.Cell(
        "dim", "all_l2", "l2", np.arange(4), np.array([1.0, 2, 3, np.inf]), 1.5
    )
    (axes,) = figures.distance_boxes([falls], "l2").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "dim (1 unbroken)"
    ]
    assert any((2 == line.get_xdata()).all() for line in axes.lines)


def test_every_latent_space_has_a_panel(generator):
    labels = np.arange(40) % 2
    latents = generator.normal(size=(40, 2, 3))
    # Where the classes lie apart, t-SNE leaves them apart.
    latents[labels == 1, 0] += 100
    first, second = figures.latent_spaces(latents, labels).axes
    assert second.get_title() == "internal model 1"
    here, there = (
        np.array(points.get_offsets()) for points in first.collections
    )
    assert len(here) == len(there) == 20
    gap = np.linalg.norm(here.mean(0) - there.mean(0))
    assert gap > 2 * max(here.std(), there.std())


def test_a_single_latent_space_is_that_of_all_digits(generator):
    latents = generator.normal(size=(40, 1, 3))
    (axes,) = figures.latent_spaces(latents, np.arange(40) % 3).axes
    assert axes.get_title() == "shared encoder"
    (size,) = {points.get_sizes()[0] for points in axes.collections}
    assert size > 3


def test_a_terminal_shows_brackets():
    table = formats.to_rich([("", "`a[b]`"), ("median", "inf [inf, inf]")])
    console = rich.console.Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert "inf [inf, inf]" in text
    assert "a[b]" in text


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


def adversarials(model, samples):
    """One image, whichever it is asked for."""
    return {
        (attack, sample): np.full((4, 4, 1), 0.25)
        for attack, own in samples.items()
        for sample in own
    }


def test_the_page_needs_nothing_else():
    table = records(
        ("dim", "l2_bim", "l2", [2.0, 1.0]),
        ("<b>cnn", "l2_bim", "l2", [0.5, np.inf]),
    )
    rows = tables.results_table(table)

    notes = [("alarm", "1 < 2")]
    limits = {**thresholds.PAPER, "l2": 0.25}
    text = page_module.page(
        table, rows, notes, "a & b", adversarials, limits=limits
    )
    tags = Tags()
    tags.feed(text)
    assert all(load.startswith(("#", "data:")) for load in tags.loads)
    # Curves and boxes.
    assert tags.figures == 2
    assert text.count('alt="a 3 taken for a 5"') == 4
    assert "<b>cnn" not in text
    assert "a &amp; b" in text
    assert "1 &lt; 2" in text
    assert "1,234" in text
    assert "<td>together</td>" in text
    assert "accuracy within L2 0.25, Linf 0.3, L0 12, L1 8 and" in text


def test_the_page_and_the_formats_of_half_a_sweep():
    half = half_a_sweep(records)
    probe = records(
        *3 * [("dim", "l2_bim_another_start", "l2", [1.0])], preset="probe"
    )
    # Another machine makes the probe of another sample.
    table = pa.concat_tables([half, probe.set_column(3, "sample", [[7, 8, 9]])])
    rows = tables.results_table(table, allow_missing=True)
    for text in (form(rows) for form in formats.FORMATS.values()):
        assert "nan" not in text

    notes = diagnostics.diagnostics(table)
    assert all("dim" not in words for level, words in notes if level == "alarm")
    text = page_module.page(table, rows, notes, "half", adversarials)
    assert "<td>-</td>" in text
    # Curves and boxes of cnn alone, adversarials of both.
    assert text.count("<svg") == 2
    assert text.count('alt="a 3 taken for a 5"') == 6
    alone = table.filter(pc.field("model") == "dim")
    rows = tables.results_table(alone, allow_missing=True)
    text = page_module.page(
        alone, rows, diagnostics.diagnostics(alone), "half", adversarials
    )
    assert "<svg" not in text


def test_names_are_no_mathematics():
    names = ("a$b_{$c", "_mine")
    cells = [
        statistics.Cell(
            name,
            "all_l2",
            "l2",
            np.arange(3),
            np.array([1.0, 2.0, np.inf]),
            1.5,
        )
        for name in names
    ]
    curves = figures.accuracy_curves(cells, "l2")
    (legend,) = curves.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == [r"a\$b_{\$c", "_mine"]
    for figure in (curves, figures.distance_boxes(cells, "l2")):
        figure.savefig(io.BytesIO())
    assert formats.to_latex([("a$b~c^d", "1")]).splitlines()[2] == (
        r"a\$b\textasciitilde{}c\textasciicircum{}d & 1 \\"
    )
