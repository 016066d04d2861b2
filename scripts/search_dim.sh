#!/usr/bin/env bash
# Tries recipes of DIM and keeps their cards, made from validation images alone,
# under results/recipes/; compare them with
# `python -m dim_tf.report --recipes=results/recipes`. Goes on where it stopped.
# Arguments name the tries to run; none: all.
set -euo pipefail
cd "$(dirname "$0")/.."

# Where the search began; flags/dim.cfg is where it ended.
first="--denoiser_activation=relu --own_class_weight=9
  --denoiser_epochs=14 --internal_epochs=15"
shorter="--denoiser_epochs=10 --internal_epochs=12"
declare -A tries=(
  [first]=""
  [half_as_long]="--denoiser_epochs=7 --internal_epochs=8"
  [narrower_denoiser]="$shorter --internal_noise=gaussian:0..0.4
    --denoiser_units=512"
  [narrower_internals]="$shorter --internal_noise=gaussian:0..0.4
    --internal_units=96"
  [noisier_internals]="$shorter --internal_noise=gaussian:0..0.6"
  [narrow_bottleneck]="--denoiser_bottleneck=32"
  [stronger_gaussian]="--denoiser_noise=gaussian:0..1,salt_and_pepper:0..0.4"
  [gaussian_only]="--denoiser_noise=gaussian:0..1"
  [smooth_internals]="--internal_activation=elu"
  [smooth_denoiser]="--denoiser_activation=elu"
  [equal_weights]="--own_class_weight=1"
  [smooth_equal]="--denoiser_activation=elu --own_class_weight=1"
  [smooth_equal_wide]="--denoiser_activation=elu --own_class_weight=1
    --denoiser_bottleneck=128"
  [smooth_equal_long]="--denoiser_activation=elu --own_class_weight=1
    --denoiser_epochs=28 --internal_epochs=30"
)
for name in "${@:-${!tries[@]}}"; do
  run=runs/recipes/$name
  # shellcheck disable=SC2086 # the flags of a try are words
  .venv/bin/python -m dim_tf.train --flagfile=flags/dim.cfg $first \
    ${tries[$name]} "--run_dir=$run" "--saved_models=$run/saved_models" \
    --first_look=200 --notest_set
  mkdir -p "results/recipes/$name"
  for model in dim bi_dim; do
    cp "$run/saved_models/$model/card.json" "results/recipes/$name/$model.json"
  done
done
