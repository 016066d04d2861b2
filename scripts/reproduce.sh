#!/usr/bin/env bash
# The paper's tables from the committed weights: ten models under 42 attacks,
# records in results/paper, refined, ablations, weakest and weakest_refined, the
# page in docs/RESULTS.md.
# Killed, it goes on where it was, and EXAMPLES=1000 adds to what is there.
set -euo pipefail
cd "$(dirname "$0")/.."

attack() {
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/paper.cfg "$@"
}
refine() {
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/refined.cfg "$@"
}
weakest() {
  attack --only=l1_brendel_bethge --noprobes \
    --num_examples="${EXAMPLES:-1000}" --results=results/weakest "$@"
}
weakest_refined() {
  refine --only=l1_brendel_bethge,l2_brendel_bethge \
    --num_examples="${EXAMPLES:-1000}" --results=results/weakest_refined "$@"
}
scripts/setup.sh
attack --models=dim,bi_dim,im,single_im,dn_single_im,cnn,bi_cnn,madry \
  --num_examples="${EXAMPLES:-100}"
attack --models=abs,bi_abs --num_examples="${EXAMPLES:-20}"
refine --models=bi_cnn,bi_dim --num_examples="${EXAMPLES:-100}"
refine --models=bi_abs --num_examples="${EXAMPLES:-20}"
.venv/bin/python -m dim_tf.evaluate --flagfile=flags/ablations.cfg \
  --models=dim,im,single_im,dn_single_im --num_examples="${EXAMPLES:-1000}"
# Of those that keep the most: what leaves them the least, as it is, and refined.
for how in weakest weakest_refined; do
  "$how" --models=bi_dim
  # Roundings change with how many images of ABS go together: as many as above.
  "$how" --models=bi_abs --shard_size=20
done
.venv/bin/python -m dim_tf.report --latents=dim --output=docs/latents.png
.venv/bin/python -m dim_tf.report --results=results/paper \
  --benchmark=results/benchmark \
  --template=docs/RESULTS.md.jinja --output=docs/RESULTS.md
