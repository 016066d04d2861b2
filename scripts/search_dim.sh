#!/usr/bin/env bash
# Tries variations of flags/dim.cfg and keeps their cards, made from validation
# images alone, under results/recipes/; compare them with
# `python -m dim_tf.report --recipes=results/recipes`. Goes on where it stopped.
# Arguments name the tries to run; none: all.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A tries=(
  [chosen]=""
  [stronger_gaussian]="--denoiser_noise=gaussian:0..1,salt_and_pepper:0..0.4"
  [gaussian_only]="--denoiser_noise=gaussian:0..1"
  [fixed_gaussian]="--denoiser_noise=gaussian:0.6"
  [more_salt]="--denoiser_noise=gaussian:0..0.7,salt_and_pepper:0..0.7"
  [noisier_internals]="--internal_noise=gaussian:0..0.6"
  [narrower_internals]="--internal_units=96"
  [narrower_denoiser]="--denoiser_units=512"
  [narrow_bottleneck]="--denoiser_bottleneck=32"
  [sigmoid_output]="--internal_output=sigmoid"
  [equal_weights]="--own_class_weight=1"
)
for name in "${@:-${!tries[@]}}"; do
  run=runs/recipes/$name
  # shellcheck disable=SC2086 # the flags of a try are words
  .venv/bin/python -m dim_tf.train --flagfile=flags/dim.cfg ${tries[$name]} \
    "--run_dir=$run" "--saved_models=$run/saved_models" \
    --first_look=200 --notest_set
  mkdir -p "results/recipes/$name"
  for model in dim bi_dim; do
    cp "$run/saved_models/$model/card.json" "results/recipes/$name/$model.json"
  done
done
