#!/usr/bin/env bash
# Does what the ablations tell survive another training? The four of them trained
# from another seed, into build/, and attacked as in results/brendel_bethge: records
# in results/ablations_seed_1. SEED=2 makes one more. Killed, it resumes where it was.
set -euo pipefail
cd "$(dirname "$0")/.."

SEED="${SEED:-1}"
trained="build/seed_$SEED"
scripts/setup.sh
for model in im single_im dim dn_single_im; do
  if [ ! -f "$trained/$model/card.json" ]; then
    .venv/bin/python -m dim_tf.train --flagfile="flags/$model.cfg" --seed="$SEED" \
      --first_look=0 --run_dir="$trained/runs/$model" --saved_models="$trained"
  fi
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/brendel_bethge.cfg \
    --models="$trained/$model" --num_examples="${EXAMPLES:-1000}" \
    --num_adversarials=0 --results="results/ablations_seed_$SEED"
done
