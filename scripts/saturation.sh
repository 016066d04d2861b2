#!/usr/bin/env bash
# What do larger scores, which change no decision, do to attacks? DIM with its own
# times 10 to 100, under our attacks and foolbox's of the same name: rows of the
# benchmark in results/saturation, in a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
rm -rf results/saturation
.venv/bin/python - <<'PYTHON'
import pathlib

import keras

from dim_tf import data
from dim_tf import models
from dim_tf.benchmarking import attacks
from dim_tf.models import saving

NAMES = ("l2_fgm", "l2_bim", "l2_pgd", "linf_fgsm", "linf_bim", "linf_pgd")
examples = data.load(data.DataConfig(), "test").take(slice(100))
folder = models.find("dim")
dim = models.load_outputs(folder)
for factor in (1, 10, 20, 30, 100):
    scores = keras.layers.Rescaling(factor)(dim.output["scores"])
    attacks.fill(
        pathlib.Path(f"results/saturation/dim_x{factor}.json"),
        (*NAMES, "linf_deepfool"),
        attacks.subject(keras.Model(dim.input, {"scores": scores}), examples),
        saving.read_card(folder)["weights_digest"],
        jit_compile=True,
        seconds_limit=0.0,
    )
PYTHON
