#!/usr/bin/env bash
# Open MPI 4, whose processes find each other through what mpirun tells them.
#
# usage: launch/mpi.sh [--dry-run] [MPIRUN OPTION ...] -- --config=FILE [FLAG ...]
#
#   a process per GPU:   launch/mpi.sh --host a:4,b:4 -- --config=configs/sum8.py
#   a process per node:  launch/mpi.sh --host a,b -x JAX_LOCAL_DEVICE_IDS=0,1,2,3 -- ...
#   a process per core:  launch/mpi.sh -n 2 --bind-to core -- ...
#   --dry-run            prints what would run
#
# All nodes need this folder and this Python at the same place, and must see the run's folder.
set -euo pipefail

dry_run=false options=()
while (($#)) && [[ $1 != -- ]]; do
  case $1 in
    --dry-run) dry_run=true ;;
    --config*)
      echo "error: $1 stands among mpirun's options: expected mpirun's options, --, and the rest" >&2
      exit 2
      ;;
    *) options+=("$1") ;;
  esac
  shift
done
if ! (($#)); then
  echo "error: -- is missing: expected launch/mpi.sh [MPIRUN OPTION ...] -- --config=FILE" >&2
  exit 2
fi
shift

# Defaults, which mpirun's options override. No process is bound to one core; and each has 5 s
# instead of 1 to save a checkpoint when mpirun is told to end (mpirun waits as long before it tells
# them, and its own status is then 1).
environment=(OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_odls_base_sigkill_timeout=5)
command=(env "${environment[@]}" mpirun "${options[@]}")
command+=("$(command -v python)" -m crnn_jax.main --distributed "$@")
if $dry_run; then
  printf '%q ' "${command[@]}"
  echo
else
  exec "${command[@]}"
fi
