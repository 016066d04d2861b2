"""Tables from cards."""

import json
import subprocess
import sys

import pytest

from dim_tf import report
from dim_tf.reporting import cards
from dim_tf.reporting import formats


def card(model="dim", accuracy=0.9, **recipe):
    return {
        "model": model,
        "summary": "a model",
        "parameters": 1234,
        "clean_accuracy": accuracy,
        "validation_accuracy": accuracy,
        "robust_accuracy_upper_bounds": {"l2_1.5": 0.5, "l0_12": 0.25},
        "settings": {"sizes": {"units": 3}, "recipe": recipe},
    }


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_models_are_sorted_by_accuracy(tmp_path):
    write(tmp_path / "a" / "card.json", card("a", 0.9))
    write(tmp_path / "b" / "card.json", card("b", 0.987654))
    _, first, second = cards.models_table(tmp_path)
    assert first[0] == "`b`"
    assert first[2:] == ("1,234", "98.77%", "50.0%", "", "", "25.0%")
    assert second[0] == "`a`"
    # One that no test image was shown to.
    write(tmp_path / "c" / "card.json", card("c", None))
    assert cards.models_table(tmp_path)[-1][:4] == (
        "`c`",
        "a model",
        "1,234",
        "",
    )


def test_recipes_show_the_settings_that_differ(tmp_path):
    write(tmp_path / "one" / "dim.json", card(noise="weak", epochs=8))
    write(tmp_path / "two" / "dim.json", card(noise="strong", epochs=8))
    header, first, second = cards.recipes_table(tmp_path)
    assert "noise" in header
    assert "epochs" not in header
    assert "units" not in header
    column = header.index("noise")
    assert (first[0], first[column]) == ("one", "weak")
    assert (second[0], second[column]) == ("two", "strong")


def test_a_setting_that_the_first_recipe_lacks_is_shown(tmp_path):
    for name, settings in (
        ("one", {}),
        ("two", {"more": 1}),
        ("x", {"more": 2}),
    ):
        write(tmp_path / name / "dim.json", card(**settings))
    header, *rows = cards.recipes_table(tmp_path)
    column = header.index("more")
    assert [row[column] for row in rows] == ["", "1", "2"]


@pytest.mark.parametrize("table", [cards.models_table, cards.recipes_table])
def test_an_empty_folder_is_an_error(tmp_path, table):
    with pytest.raises(FileNotFoundError, match="no .*json in"):
        table(tmp_path)


def test_markdown_has_a_rule_below_the_header():
    text = formats.to_markdown([("a", "b"), ("1", "2")])
    assert text.splitlines() == ["| a | b |", "| -- | -- |", "| 1 | 2 |"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"latents": "dim"}, "latents=dim has.* .png, or of .html with --res"),
        ({"latents": "dim", "output": "a.md"}, "latents=dim has"),
        ({"latents": "dim", "output": "a.html"}, "latents=dim has"),
        ({"latents": "dim", "results": "a"}, "latents=dim has"),
        (
            {"latents": "dim", "results": "a", "output": "a.png"},
            "results=a has.* --latents alone",
        ),
        ({"latents_examples": 200}, "latents_examples=200 has.* for --latents"),
        ({"results": "a", "recipes": "b"}, "recipes=b has.*without --results"),
        ({"benchmark": "a", "recipes": "b"}, "recipes=b has.* --benchmark"),
        ({"results": "a", "benchmark": "b"}, "benchmark=b has.* --template"),
        ({"results": "a", "saved_models": "b"}, "saved_models=b has.* models"),
        ({"recipes": "a", "saved_models": "b"}, "saved_models=b has.* models"),
        ({"allow_missing": True}, "allow_missing=True has.* for --results"),
        ({"thresholds": "l2:1"}, "thresholds=l2:1 has.*tables of --results"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_would_have_no_effect_is_refused(given, named):
    with pytest.raises(ValueError, match=f"^--{named}"):
        report.ReportConfig(**given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"saved_models": "a", "output": "a.csv"},
        # What it ends with is refused elsewhere.
        {"results": "a", "output": "a.png"},
        {"recipes": "a", "output": "a.tex"},
        {"benchmark": "a"},
        {"results": "a", "thresholds": "l2:1", "allow_missing": True},
        {"latents": "dim", "latents_examples": 200, "output": "a.png"},
        {"latents": "dim", "latents_examples": 200, "output": "a.html"}
        | {"results": "a", "thresholds": "l2:1"},
        {"results": "a", "benchmark": "b", "output": "a.md"}
        | {"template": "c", "allow_missing": True},
    ],
)
def test_what_has_an_effect_is_not(given):
    settings = report.ReportConfig(**given)
    assert all(getattr(settings, name) == given[name] for name in given)


def test_report_needs_no_tensorflow(tmp_path):
    write(tmp_path / "a" / "card.json", card("a"))
    code = (
        "import sys, runpy; sys.modules['tensorflow'] = None; "
        f"sys.argv = ['report', '--saved_models={tmp_path}']; "
        "runpy.run_module('dim_tf.report', run_name='__main__')"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert "| `a` |" in process.stdout
