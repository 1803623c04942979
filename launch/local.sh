#!/usr/bin/env bash
# One machine: all its devices in one process, simulated CPU devices, or several processes.
#
# usage: launch/local.sh [--dry-run] [--processes=N] [--devices=N] --config=FILE [FLAG ...]
#
#   --processes=N  N processes, each with a device of its own: a GPU or a CPU core
#   --devices=N    N simulated CPU devices (in each process)
#   --dry-run      prints what would run
#
# All other flags are those of python -m crnn_jax.main.
set -euo pipefail

number() {
  if ! [[ ${1#*=} =~ ^[1-9][0-9]*$ ]]; then
    echo "error: $1: expected ${1%%=*}=N with a number N from 1" >&2
    exit 2
  fi
  echo "${1#*=}"
}

dry_run=false processes='' devices='' flags=()
for argument in "$@"; do
  case $argument in
    --dry-run) dry_run=true ;;
    --processes | --processes=*) processes=$(number "$argument") ;;
    --devices | --devices=*) devices=$(number "$argument") ;;
    *) flags+=("$argument") ;;
  esac
done

run() {
  if $dry_run; then
    printf '%q ' "$@"
    echo
  else
    exec "$@"
  fi
}

environment=()
if [[ $devices ]]; then
  environment+=(JAX_PLATFORMS=cpu)
fi
if [[ $devices || $processes ]]; then
  # On a CPU: so many devices, of one thread each.
  environment+=("JAX_NUM_CPU_DEVICES=${devices:-1}")
  environment+=("XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }--xla_cpu_multi_thread_eigen=false")
  # XLA would start a thread for each core in every process; those without work spin.
  environment+=("PJRT_NPROC=${devices:-1}")
fi

if ! [[ $processes ]]; then
  run env "${environment[@]}" python -m crnn_jax.main "${flags[@]}"
  exit
fi

port=$(python -c 'import socket; print(socket.create_server(("", 0)).getsockname()[1])')
pids=()
# Each process is in a process group of its own (-m): Ctrl-C reaches it through the trap, once.
set -m
trap 'kill -TERM "${pids[@]}" || true' TERM
trap 'kill -INT "${pids[@]}" || true' INT
for ((i = 0; i < processes; i++)); do
  run env "${environment[@]}" "JAX_LOCAL_DEVICE_IDS=$i" python -m crnn_jax.main \
    "--coordinator=localhost:$port" "--num_processes=$processes" "--process_id=$i" "${flags[@]}" &
  pids+=("$!")
  if $dry_run; then
    wait "$!" # prints in order
  fi
done
status=0
for pid in "${pids[@]}"; do
  while true; do
    result=0
    wait "$pid" || result=$?
    kill -0 "$pid" 2>/dev/null || break # else a trap has ended the wait
  done
  if ((status == 0)); then
    status=$result
  fi
done
exit "$status"
