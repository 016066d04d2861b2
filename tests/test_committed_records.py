"""The committed records are whole, of today, and tell the truth."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from absl import flags

from dim_tf import config
from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.attacks.norms import NORMS
from dim_tf.evaluate import EvaluateConfig

ROOT = pathlib.Path(__file__).resolve().parents[1]
STUB = '#!/usr/bin/env bash\necho "$@" >> calls\n'


def evaluations(folder):
    """The arguments of each, from the script with nothing to run them."""
    for stub in ("scripts/setup.sh", ".venv/bin/python"):
        path = folder / stub
        path.parent.mkdir(parents=True)
        path.write_text(STUB)
        path.chmod(0o755)
    shutil.copy(ROOT / "scripts" / "reproduce.sh", folder / "scripts")
    known = {k: value for k, value in os.environ.items() if k != "EXAMPLES"}
    command = ["bash", "scripts/reproduce.sh"]
    subprocess.run(command, cwd=folder, env=known, check=True)
    calls = (folder / "calls").read_text().splitlines()
    start = "-m dim_tf.evaluate "
    return [call[len(start) :].split() for call in calls if start in call]


def test_they_are_what_the_script_would_make_today(tmp_path, monkeypatch):
    found = evaluations(tmp_path)
    assert len(found) > 10
    monkeypatch.chdir(ROOT)
    folders = set()
    for arguments in found:
        values = flags.FlagValues()
        config.define_flags(EvaluateConfig, data.DataConfig, flag_values=values)
        values(["evaluate", *arguments])
        settings = config.from_flags(EvaluateConfig, flag_values=values)
        results = pathlib.Path(settings.results).resolve()
        campaign = settings.campaign("mnist")
        assert not campaign.jobs(settings.targets, results), arguments
        folders.add(results.name)
    assert len(folders) == 7


# ABS and biABS would search for an answer to each.
FAST = [name for name in models.MODELS if name not in ("abs", "bi_abs")]


@pytest.mark.parametrize("name", FAST)
def test_the_adversarials_are_what_is_said_of_them(name, read_idx):
    images = read_idx(ROOT / "data/mnist/t10k-images-idx3-ubyte.gz")
    columns = ["sample", "label", "adversarial_prediction", "adversarial"]
    columns += [f"distance_{norm}" for norm in NORMS]
    kept = pa.concat_tables(
        pq.read_table(path, columns=columns)
        for path in sorted((ROOT / "results").glob(f"*/{name}/*/*.parquet"))
        if "ablations" not in str(path)  # of other weights
    )
    kept = kept.filter(pc.field("adversarial").is_valid())
    assert len(kept) > 500
    values = {key: kept[key].to_numpy() for key in columns[:3] + columns[4:]}
    found = kept["adversarial"].combine_chunks().flatten().to_numpy()
    found = found.reshape(len(kept), 28, 28, 1)
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    seen = metrics.predictions(models.load_outputs(name), found)
    assert (seen != values["label"]).all()
    # Which of the other classes is best has no margin, elsewhere.
    assert (seen == values["adversarial_prediction"]).mean() > 0.99
    clean = images.reshape(-1, 784)[values["sample"]] / np.float32(255)
    changes = np.float64(found).reshape(-1, 784) - clean
    for norm, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", np.inf)):
        sizes = np.linalg.norm(changes, order, axis=1)
        np.testing.assert_allclose(sizes, values[f"distance_{norm}"], 1e-6)
