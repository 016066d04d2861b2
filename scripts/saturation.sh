#!/usr/bin/env bash
# What do larger scores, which change no decision, do to attacks? DIM with its own
# times 10 to 100, under our attacks and foolbox's of the same name: rows of the
# benchmark in results/saturation, in a quarter of an hour where there are none.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
for factor in 1 10 20 30 100; do
  .venv/bin/python -m dim_tf.benchmark --model=dim --score_factor="$factor" \
    --only=l2_fgm,l2_bim,l2_pgd,linf_fgsm,linf_bim,linf_pgd,linf_deepfool \
    --seconds_limit=0 --output="results/saturation/dim_x$factor.json"
done
