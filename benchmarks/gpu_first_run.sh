#!/usr/bin/env bash
# The first thing to run on a machine with a GPU: does it work, is it right, how fast is it. Under
# eight minutes.
#
#   bash benchmarks/gpu_first_run.sh [--out FILE.json] [--tiny]
#   PYTHON=python3.12 bash benchmarks/gpu_first_run.sh
#
# It needs Python 3.11, CuPy with NVRTC, cuBLAS and CUDA's headers (what the extra gpu or gpu-cuda13
# brings, or a toolkit) and NumPy; no network, and nothing installed of this repository. Where PyTorch
# with CUDA is there, it is measured beside ours. Each part is a process with its own time limit; each
# result is stored (benchmarks/results/gpu-NAME.json and .md) as soon as it is known. The exit status
# is 0 only if every part passed in its time; what needs a package that is missing is left out, and so
# is a network that needs more memory than there is, with a word.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-python3}
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --tiny) arguments+=(--tiny) ;;
    --out)
      [ $# -gt 1 ] || { echo "gpu_first_run.sh: --out needs a file" >&2; exit 2; }
      arguments+=(--out "$2")
      shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' benchmarks/gpu_first_run.sh; exit 0 ;;
    *) echo "gpu_first_run.sh: $1 is no argument; use --out FILE.json and --tiny" >&2; exit 2 ;;
  esac
  shift
done
export PYTHONUNBUFFERED=1
failed="" left_out="" unfinished=""

part() { # part SECONDS SECTION
  local limit=$1 section=$2 start=$SECONDS status=0
  printf '\n=== %s (at most %d s) ===\n' "$section" "$limit"
  timeout --kill-after=5 "$limit" "$PYTHON" -m benchmarks.gpu --only "$section" \
    ${arguments[@]+"${arguments[@]}"} || status=$?
  case $status in
    0) return ;;
    3) left_out="$left_out $section"; return ;;
    124 | 137)
      echo "$section: not finished after $limit s; the rows until then are stored"
      unfinished="$unfinished $section"
      return 1 ;;
    *) echo "$section: failed with exit status $status after $((SECONDS - start)) s" ;;
  esac
  failed="$failed $section"
  return 1
}

# Without a device, or with wrong products, nothing else is worth its time.
part 60 rates || { echo "first run: FAILED at once:$failed$unfinished"; exit 1; }
part 50 training
part 50 agreement
part 180 steps
part 100 layers
part 15 strided
part 20 crf
printf '\n'
[ -z "$unfinished" ] || echo "first run: not finished in its time:$unfinished"
[ -z "$left_out" ] || echo "first run: left out, because something is missing:$left_out"
[ -z "$failed$unfinished" ] &&
  { echo "first run: ${left_out:+every other part }passed, $SECONDS s"; exit 0; }
echo "first run: ${failed:+FAILED:$failed, }$SECONDS s"
exit 1
