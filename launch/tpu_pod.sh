#!/usr/bin/env bash
# A Cloud TPU slice of one or more hosts, which find each other by themselves.
#
# usage: launch/tpu_pod.sh [--dry-run] TPU ZONE --config=FILE [FLAG ...]
#
#   --dry-run  prints what would run
#
# Copies this folder to every host of the TPU, sets up .venv there the first time, and trains. The
# hosts need Python 3.11 or newer; the run's folder is on the first one, unless --workdir is on a
# disk or bucket that you have mounted.
set -euo pipefail

dry_run=false
if [[ ${1-} == --dry-run ]]; then
  dry_run=true
  shift
fi
if (($# < 2)) || [[ $1 == -* || $2 == -* ]]; then
  echo "error: no TPU and zone: expected launch/tpu_pod.sh TPU ZONE --config=FILE" >&2
  exit 2
fi
tpu=$1 zone=$2
shift 2

run() {
  if $dry_run; then
    echo "${@@Q}"
  else
    "$@"
  fi
}

archive=$(mktemp --suffix=.tar.gz)
trap 'rm "$archive"' EXIT
run tar --create --gzip --file="$archive" --exclude-vcs --exclude='./.venv*' --exclude=./runs \
  --directory="$(dirname "$0")/.." .
tpu_vm=(gcloud compute tpus tpu-vm)
run "${tpu_vm[@]}" scp "$archive" "$tpu:crnn_jax.tar.gz" --zone="$zone" --worker=all

printf -v train '%q ' .venv/bin/python -m crnn_jax.main --distributed "$@"
run "${tpu_vm[@]}" ssh "$tpu" --zone="$zone" --worker=all --command="\
mkdir -p crnn_jax && cd crnn_jax && tar -xzf ../crnn_jax.tar.gz && \
python3 -m venv .venv && .venv/bin/pip install --quiet --constraint constraints.txt --editable .[tpu] && $train"
