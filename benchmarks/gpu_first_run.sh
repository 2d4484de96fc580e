#!/usr/bin/env bash
# The first thing to run on a machine with a GPU: does it work, is it right, how fast is it. Under
# eight minutes.
#
#   bash benchmarks/gpu_first_run.sh [--out FILE.json] [--tiny]
#   PYTHON=python3.12 bash benchmarks/gpu_first_run.sh
#
# It needs CuPy and NumPy, no network and nothing installed of this repository; where PyTorch with
# CUDA is there, it is measured beside ours. Each part is a process with its own time limit, which
# only a failure reaches; each result is stored (benchmarks/results/gpu.json and .md) as soon as it
# is known. The exit status is 0 only if every part passed; what needs a package that is missing is
# left out, with a word.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-python3}
export PYTHONUNBUFFERED=1
failed="" left_out=""

part() { # part SECONDS SECTION [ARGUMENT...]
  local limit=$1 section=$2 start=$SECONDS status=0
  shift 2
  printf '\n=== %s (at most %d s) ===\n' "$section" "$limit"
  timeout --kill-after=5 "$limit" "$PYTHON" -m benchmarks.gpu --only "$section" "$@" || status=$?
  case $status in
    0) return ;;
    3) left_out="$left_out $section"; return ;;
    124 | 137) echo "$section: stopped after $limit s; the results until then are stored" ;;
    *) echo "$section: failed with exit status $status after $((SECONDS - start)) s" ;;
  esac
  failed="$failed $section"
  return 1
}

# Without a device, or with wrong products, nothing else is worth its time.
part 30 rates "$@" || { echo "first run: FAILED at once:$failed"; exit 1; }
part 100 training "$@"
part 50 agreement "$@"
part 170 steps "$@"
part 120 layers "$@"
printf '\n'
[ -z "$left_out" ] || echo "first run: left out, because something is missing:$left_out"
[ -z "$failed" ] && { echo "first run: ${left_out:+every other part }passed, $SECONDS s"; exit 0; }
echo "first run: FAILED:$failed, $SECONDS s"
exit 1
