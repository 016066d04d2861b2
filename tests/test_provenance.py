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
        only="linf_bim",
        results=tmp_path,
        seed=3,
        xla="off",
        verbose=False,
    )
    made = results.made_with(tmp_path)
    (files,) = made.values()
    assert [file["attack"] for file in files] == [
        "linf_bim",
        "linf_bim_another_start",
        "linf_bim_threshold_alone",
        "linf_bim_twice_the_steps",
    ]
    file = files[1]
    assert file["versions"] == circumstances.versions()
    assert file["versions"]["foolbox"] == importlib.metadata.version("foolbox")
    assert file["hardware"] == circumstances.hardware()
    facts = provenance.facts(made)["model"]
    # That another start has another seed is no news.
    assert facts["seed"] == [3]
    assert facts["weights_digest"] == [file["weights_digest"]]
    assert facts["versions"] == [circumstances.versions()]
    assert facts["refinement"] == [None]


def test_records_of_before_say_less_and_mixed_ones_all():
    digest = "0123456789abcdef" * 4
    made = {
        "dim": [
            {
                "attack": "a",
                "dataset": "mnist",
                "weights_digest": digest,
                "seed": 0,
            },
            {
                "attack": "a",
                "seed": 1,
                "refinement": "R()",
                "versions": {"keras": "3", "numpy": "2"},
            },
            {"attack": "a_another_start", "seed": 2},
        ],
        "cnn": [
            {
                "attack": "a",
                "settings": {"layers": digest},
                "search_view": {"steps": 4},
            }
        ],
    }
    assert provenance.table(made) == [
        ("", "`dim`", "`cnn`"),
        ("images", "mnist; -", "-"),
        ("weights", "0123456789ab; -", "-"),
        ("settings", "-", "layers 0123456789ab"),
        ("attacks search on", "-", "steps 4"),
        ("refined by", "-; R()", "-"),
        ("seed", "0; 1", "-"),
        ("versions", "-; keras 3, numpy 2", "-"),
    ]


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    assert circumstances.versions()["dim_tf"]

    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "dim_tf" not in circumstances.versions()
