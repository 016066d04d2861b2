#!/usr/bin/env bash
# Does an attack fail because the cross-entropy it climbs is flat? DIM with its
# scores times 10 to 100, which changes no decision, under attacks that climb it
# and one that does not: records in results/saturation, in about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
mkdir -p build
rm -rf results/saturation
.venv/bin/python - <<'PYTHON'
import keras

from dim_tf import models

dim = models.load("dim")
for factor in (10, 20, 30, 100):
    scores = keras.layers.Rescaling(factor)(dim.output)
    keras.Model(dim.input, scores).save(f"build/dim_x{factor}.keras")
PYTHON
.venv/bin/python -m dim_tf.evaluate --results=results/saturation \
  --models=build/dim_x10.keras,build/dim_x20.keras,build/dim_x30.keras,build/dim_x100.keras \
  --only=l2_fgm,l2_bim,l2_pgd,linf_fgsm,linf_bim,linf_pgd,linf_deepfool \
  --noprobes --num_adversarials=0
