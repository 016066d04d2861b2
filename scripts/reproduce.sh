#!/usr/bin/env bash
# The paper's tables from the committed weights: ten models under 42 attacks,
# records in results/paper, brendel_bethge, refined, weakest_refined, autoattack,
# extra and straight_through, the page in docs/RESULTS.md.
# Killed, it resumes where it was, and EXAMPLES=1000 adds to what is there.
set -euo pipefail
cd "$(dirname "$0")/.."

attack() {
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/paper.cfg "$@"
}
refine() {
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/refined.cfg "$@"
}
brendel_bethge() {
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/brendel_bethge.cfg "$@"
}
autoattack() {
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/autoattack.cfg "$@"
}
extra() {
  autoattack --suite=extra --results=results/extra "$@"
}
weakest_refined() {
  refine --only=l1_brendel_bethge,l2_brendel_bethge \
    --num_examples="${EXAMPLES:-1000}" --results=results/weakest_refined "$@"
}
straight_through() {
  .venv/bin/python -m dim_tf.evaluate --flagfile=flags/straight_through.cfg "$@"
}
scripts/setup.sh
FAST=dim,bi_dim,im,single_im,dn_single_im,cnn,bi_cnn,madry
attack --models="$FAST" --num_examples="${EXAMPLES:-100}"
# The scores of ABS round differently with the size of the batch: keep it.
attack --models=abs,bi_abs --shard_size=20 --num_examples="${EXAMPLES:-40}"
refine --models=bi_cnn,bi_dim --num_examples="${EXAMPLES:-100}"
refine --models=bi_abs --shard_size=20 --num_examples="${EXAMPLES:-40}"
brendel_bethge --models="$FAST" --num_examples="${EXAMPLES:-1000}"
brendel_bethge --models=abs,bi_abs --shard_size=20 --num_examples="${EXAMPLES:-200}"
# The strongest attack on the two most robust models, as it is, and refined.
brendel_bethge --models=bi_abs --shard_size=20 --only=l1_brendel_bethge \
  --num_examples="${EXAMPLES:-1000}"
weakest_refined --models=bi_dim
weakest_refined --models=bi_abs --shard_size=20
autoattack --models="$FAST" --num_examples="${EXAMPLES:-100}"
autoattack --models=abs,bi_abs --shard_size=20 --num_examples="${EXAMPLES:-20}"
extra --models="$FAST" --num_examples="${EXAMPLES:-100}" \
  --only=l1_apgd_dlr,l2_apgd_dlr,linf_apgd_dlr
extra --models=dim,bi_dim,im,single_im,dn_single_im \
  --num_examples="${EXAMPLES:-100}" --only=l2_latent_descent
extra --models=abs,bi_abs --shard_size=20 --num_examples="${EXAMPLES:-40}" \
  --only=l2_latent_descent
straight_through --models=bi_dim,bi_cnn --num_examples="${EXAMPLES:-100}"
straight_through --models=bi_abs --shard_size=20 --num_examples="${EXAMPLES:-40}" \
  --only=l0_brendel_bethge,l1_brendel_bethge
.venv/bin/python -m dim_tf.report --latents=dim --output=docs/latents.png
.venv/bin/python -m dim_tf.report --results=results/paper \
  --benchmark=results/benchmark \
  --template=docs/RESULTS.md.jinja --output=docs/RESULTS.md
