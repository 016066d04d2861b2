#!/usr/bin/env bash
# Trains every model from its flagfile, which may know better than to take a first
# look at 500 images; resumes where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

for model in dim im single_im dn_single_im cnn madry abs; do
  .venv/bin/python -m dim_tf.train --first_look=500 "--flagfile=flags/$model.cfg" "$@"
done
