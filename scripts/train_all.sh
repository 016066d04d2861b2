#!/usr/bin/env bash
# Trains every model from its flagfile; goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

for model in dim im single_im dn_single_im cnn madry abs; do
  .venv/bin/python -m dim_tf.train "--flagfile=flags/$model.cfg" "$@"
done
