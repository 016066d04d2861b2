"""What records were made with is in them, and said."""

import importlib.metadata

import keras
import numpy as np

from dim_tf import circumstances
from dim_tf import robustness
from dim_tf.evaluation import results
from dim_tf.reporting import provenance


def test_a_sweep_says_what_it_was_made_with(tmp_path, generator):
    inputs = keras.Input((4, 4, 1))
    scores = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, scores)
    images = generator.uniform(size=(2, 4, 4, 1)).astype(np.float32)
    robustness.measure(
        *(model, images, np.argmax(model(images), 1)),
        only=["l2_ddn30"],
        results=tmp_path,
        seed=3,
        xla="off",
        verbose=False,
    )
    made = results.made_with(tmp_path)
    ((file,),) = made.values()
    assert file["versions"] == circumstances.versions()
    assert file["versions"]["foolbox"] == importlib.metadata.version("foolbox")
    assert file["hardware"] == circumstances.hardware()
    facts = provenance.facts(made)["model"]
    assert facts["seeds"] == "3"
    assert facts["weights"] == file["weights_digest"][:12]
    assert f"tensorflow {importlib.metadata.version('tensorflow')}" in str(
        facts
    )
    assert "refined" not in facts


def test_records_of_before_say_less_and_mixed_ones_all():
    digest = "0123456789abcdef" * 4
    made = {
        "dim": [
            {"dataset": "mnist", "weights_digest": digest, "seed": 0},
            {"seed": 1, "refinement": "R()", "versions": {"keras": "3"}},
        ],
        "cnn": [{"settings": {"scale": 2}, "search_view": {"steps": 4}}],
    }
    assert provenance.table(made) == [
        ("", "`dim`", "`cnn`"),
        ("images", "mnist; not said", "not said"),
        ("weights", "0123456789ab; not said", "not said"),
        ("settings", "", "scale 2"),
        ("attacks search on", "", "steps 4"),
        ("refined", "yes", ""),
        ("seeds", "0; 1", "not said"),
        ("versions", "keras 3; not said", "not said"),
        ("machine", "not said", "not said"),
    ]


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert list(circumstances.versions()) == ["python"]
