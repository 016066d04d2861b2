"""What the report command draws, and the templates that it fills."""

import json

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image
from test_benchmarks import record
from test_report_page import records

from dim_tf import data
from dim_tf import models
from dim_tf import report
from dim_tf.evaluation import results
from dim_tf.reporting import figures

TEMPLATE = """
{{ accuracy("l2_bim", "dim") }} is left.
{{ curves("l2") }} {{ gallery("l2") }}
{{ departures(0.1) }}
"""


@pytest.fixture
def run(monkeypatch):
    """Function that runs the command, within this process."""

    def run(**flags):
        settings = report.ReportConfig(
            **{name: str(value) for name, value in flags.items()}
            | {"latents_examples": flags.get("latents_examples", 1000)}
        )
        monkeypatch.setattr(report.config, "from_flags", lambda kind: settings)
        report.main([])

    return run


@pytest.fixture
def drawn(monkeypatch, tiny_mnist):
    """What was drawn of latent spaces; t-SNE takes long and is tested apart."""
    drawn = []

    def draw(latents, labels):
        drawn.append((latents, labels))
        return matplotlib.figure.Figure(figsize=(2, 1))

    def config(dataset):
        assert dataset == "mnist"
        return tiny_mnist

    monkeypatch.setattr(figures, "latent_spaces", draw)
    monkeypatch.setattr(data, "DataConfig", config)
    return drawn


@pytest.mark.usefixtures("saved_models")
def test_latents_of_test_images_are_drawn(run, drawn, tiny_mnist, tmp_path):
    test = data.load(tiny_mnist, "test")
    output = tmp_path / "new" / "latents.png"
    run(latents="dim", latents_examples=100, output=output)
    with Image.open(output) as picture:
        assert (picture.format, picture.size) == ("PNG", (240, 120))
    ((latents, labels),) = drawn
    expected = models.load_outputs("dim")(test.images[:100])["latents"]
    np.testing.assert_allclose(latents, expected, 1e-5, 1e-4)
    np.testing.assert_array_equal(labels, test.labels[:100])


@pytest.mark.usefixtures("saved_models")
def test_a_model_without_latents_is_refused(run, drawn, tmp_path):
    output = tmp_path / "latents.png"
    with pytest.raises(ValueError, match="latents=cnn has no .*, only scores"):
        run(latents="cnn", output=output)
    assert not drawn
    assert not output.exists()


@pytest.fixture
def kept(tmp_path):
    """Folder of records in a folder, and a template beside that."""
    folder = tmp_path / "results" / "paper"
    columns = records(("dim", "l2_bim", "l2", [1.0, 2.0, 3.0, 0.0])).to_pydict()
    path = results.shard_path(folder / "dim" / "l2_bim", range(4))
    results.write_shard(path, columns, {"dataset": "mnist"})
    (tmp_path / "words.md.jinja").write_text(TEMPLATE)
    return folder


def test_a_template_is_filled_beside_its_pictures(run, kept, tmp_path):
    race = record("l2_bim", 4, 2.0, 1.0)
    races = tmp_path / "races"
    races.mkdir()
    (races / "dim.json").write_text(json.dumps([race]))
    output = tmp_path / "docs" / "WORDS.md"
    asked = {
        "results": kept,
        "template": tmp_path / "words.md.jinja",
        "output": output,
    }
    run(**asked)
    text = output.read_text()
    assert text.startswith("\n50% is left.\n")
    assert (
        "| `dim` | `l2_bim` | 50% [15%, 85%] | 94% | -44 | the paper's" in text
    )
    for name in ("curves_l2", "gallery_l2"):
        assert f"(words/{name}.png)" in text
        with Image.open(tmp_path / "docs" / "words" / f"{name}.png") as picture:
            assert np.array(picture).std() > 0
    run(**asked, benchmark=races)
    assert "94% | -44 | ours 20%, foolbox's 25%" in output.read_text()


@pytest.mark.parametrize("name", ["RESULTS.md", "results/Paper.md"])
def test_pictures_keep_out_of_the_records(name, run, kept, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        ValueError, match=f"pictures of .*{name} would go to .*"
    ):
        run(
            results=kept,
            template=tmp_path / "words.md.jinja",
            output=tmp_path / name,
        )
    assert sorted(tmp_path.rglob("*")) == before
