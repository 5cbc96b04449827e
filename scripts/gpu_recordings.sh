#!/usr/bin/env bash
# Makes the recordings that scripts/gpu_check.sh replays, with the Verilated accelerator: minutes on two cores.
#
#   scripts/gpu_recordings.sh [OUT]      OUT: recordings
#
# The log, its rows and the budget are those of `hotline bench` with the same configuration. It learns from 16
# mini-batches; the next ones are recorded. Hot rows are chosen for few rows to fetch, as training over the pool gains by
# that. BACKEND is verilated; PYTHON python3.
set -eu

out=${1:-recordings}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/sim:$PWD/host${PYTHONPATH:+:$PYTHONPATH}" OMP_WAIT_POLICY=passive

# record CONFIG SHAPE ROWS BATCH MINI_BATCHES OPTIONS...
record() {
    local config=$1 shape=$2 rows=$3 batch=$4 count=$5 k=1
    shift 5
    # The first k-th of 16 * k mini-batches is learned from. A power of two makes the share exact.
    while [ $((16 * k)) -lt $((16 + count)) ]; do k=$((2 * k)); done
    "${PYTHON:-python3}" -c 'from hotline_host.commands.entry import main; main()' record --out "$out/$config-$batch.npz" \
        --data "synthetic:$shape,vocabulary=$rows" --backend "${BACKEND:-verilated}" --batch-size "$batch" \
        --samples $((16 * k * batch)) --learn-share "$("${PYTHON:-python3}" -c "print(1 / $k)")" \
        --mini-batches "$count" --objective rows "$@"
}

if [ "${HOTLINE_GPU_CHECK_DEVICE:-cuda}" = cpu ]; then # what the script uses on a CPU
    record kaggle kaggle 0.0001 64 40 --preset edge --hot-rows 900
else
    record kaggle kaggle 1 2048 200
    record kaggle kaggle 1 8192 90
    record terabyte terabyte 0.015625 2048 90 --row-bytes 256
fi
ls -l "$out"
