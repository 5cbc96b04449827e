#!/usr/bin/env bash
# The CUDA tests and the benchmark of training on a machine with a GPU, in one go, in under eight minutes.
#
#   scripts/gpu_check.sh OUT
#
# It needs no network and installs nothing: torch, Triton, NumPy, Numba, pyarrow, Matplotlib, Rich, Typer, filelock,
# pytest with timeout and xdist, and Hypothesis are enough. Every part writes into OUT as soon as it knows something, and
# ends when its seconds are over, so a run that is cut short still tells. OUT gets, of each part, a log and a JSON file;
# of the first one also a picture, a timeline for Perfetto and the profiler's summary.
#
# What the accelerator answers is replayed from recordings/CONFIG-BATCH.npz (scripts/gpu_recordings.sh makes them). Where
# there is no such file, the golden model answers, and its time is in that of the host.
#
#   PYTHON                     the interpreter; python3
#   HOTLINE_RECORDINGS         folder of the recordings; recordings
#   HOTLINE_GPU_CHECK_DEVICE   cuda; on cpu all is far smaller, to try this script
#   HOTLINE_GPU_CHECK_SECONDS  for everything; 465
set -u

[ $# = 1 ] || { echo "usage: scripts/gpu_check.sh OUT" >&2; exit 2; }
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 2
root=$PWD
python=${PYTHON:-python3}
device=${HOTLINE_GPU_CHECK_DEVICE:-cuda}
recordings=${HOTLINE_RECORDINGS:-recordings}
end=$((SECONDS + ${HOTLINE_GPU_CHECK_SECONDS:-465}))
export PYTHONPATH="$root:$root/sim:$root/host${PYTHONPATH:+:$PYTHONPATH}" OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1
: > "$out/parts.txt"

# part NAME SECONDS COMMAND...: runs a command, its output in NAME.log, for these seconds or what is left of all.
part() {
    local name=$1 seconds=$2 begin=$SECONDS left=$((end - SECONDS)) code
    shift 2
    [ "$left" -lt "$seconds" ] && seconds=$left
    if [ "$seconds" -lt 5 ]; then
        echo "$name: left out, no time was left" | tee -a "$out/parts.txt"
        return
    fi
    timeout -k 10 "$seconds" "$@" > "$out/$name.log" 2>&1 < /dev/null
    code=$?
    case $code in
        0) echo "$name: done in $((SECONDS - begin)) s" ;;
        124 | 137 | 143) echo "$name: cut short after $((SECONDS - begin)) s; what it had is there" ;;
        *) echo "$name: failed with code $code after $((SECONDS - begin)) s; $name.log says why: $(tail -n 1 "$out/$name.log")" ;;
    esac | tee -a "$out/parts.txt"
}

# bench NAME SECONDS CONFIG BATCH OPTIONS...: `hotline bench`, with the recording of that configuration if there is one.
bench() {
    local name=$1 seconds=$2 config=$3 batch=$4
    shift 4
    local recording="$recordings/$config-$batch.npz"
    [ -f "$recording" ] && set -- "$@" --recording "$recording"
    part "$name" "$seconds" "$python" -c 'from hotline_host.commands.entry import main; main()' bench --config "$config" \
        --batch-sizes "$batch" --device "$device" --json "$out/$name.json" "$@"
}

machine() {
    nvidia-smi 2> /dev/null || echo "no nvidia-smi"
    "$python" -c 'import sys, torch; print(sys.version); print("torch", torch.__version__, torch.version.cuda)'
    git log -1 --format='commit %H' 2> /dev/null
}
export -f machine
export python
part machine 60 bash -c machine

if [ "$device" = cpu ]; then
    small=(--rows 1e-4 --preset edge --hot-rows 900 --steps 2 --rounds 2)
    part tests 60 "$python" -m pytest -p no:cacheprovider -m cuda --continue-on-collection-errors -q tests/unit/host/training/test_triton_kernels.py
    bench kaggle-2048 40 kaggle 64 "${small[@]}" --report "$out" --trace "$out/trace.json" --profile
    bench terabyte-2048 40 terabyte 32 "${small[@]}" --rivals ordinary,hotline
else
    timed=(--steps 30 --rounds 5)
    few=(--steps 20 --rounds 3 --rivals ordinary,zero-copy,lru,static,hotline)
    # Most valuable first. Rows are shares of the full vocabulary: those of Terabyte take minutes to draw.
    part tests 100 "$python" -m pytest -p no:cacheprovider -m cuda --continue-on-collection-errors --timeout 60 -q tests/unit/host
    bench kaggle-2048 120 kaggle 2048 "${timed[@]}" --report "$out" --trace "$out/trace.json" --profile
    bench kaggle-8192 70 kaggle 8192 --steps 20 --rounds 3
    bench terabyte-2048 60 terabyte 2048 "${few[@]}" --rows 0.015625
    bench kaggle-32768 60 kaggle 32768 "${few[@]},resident" --rows 0.25
    bench multihot-2048 60 multihot 2048 "${few[@]},resident" --rows 0.03125
    bench kaggle-2048-one-thread 50 kaggle 2048 "${few[@]}" --rows 0.25 --threads 1
    bench terabyte-2048-all-memory 50 terabyte 4096 "${few[@]}" --rows 0.015625 --hbm all
fi

echo
"$python" scripts/gpu_table.py "$out" | tee "$out/table.txt"
