#!/usr/bin/env bash
# Brings what is in this folder to its place, once all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

git apply results/next/search.patch
for model in abs bi_abs; do
  rm -r "results/paper/$model"
  cp results/next/saved_models/$model/* "saved_models/$model/"
done
for folder in refined weakest; do
  rm -r "results/$folder"
  mv "results/next/$folder" "results/$folder"
done
for records in results/next/*/l?*_*; do
  place="results/paper/${records#results/next/}"
  rm -rf "$place"
  mkdir -p "${place%/*}"
  mv "$records" "$place"
done
mv results/next/abs.cfg flags/abs.cfg
rm -r results/next
