#!/usr/bin/env bash
# On a machine with a GPU: the test suite on it, NVIDIA's compute-sanitizer over the kernels, and
# the benchmark.
#
#   benchmarks/gpu.sh [arguments of benchmarks.gpu]
#
# Each part has its own time limit, so that a slow one does not cost the others. The exit status is
# 0 only if all that could run passed; compute-sanitizer is left out, with a word, where it is not
# installed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
export MINIDECONV_TEST_DEVICE=gpu
failed=0

part() { # part SECONDS COMMAND...
  local limit=$1
  shift
  printf '\n=== %s ===\n' "$*"
  timeout "$limit" "$@" || { echo "FAILED ($?)"; failed=1; }
}

part 300 python -m pytest -q -x tests/cuda
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    part 180 compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
      python -m pytest -q -x tests/cuda -k "not schedule" -p no:cacheprovider
  done
else
  echo "compute-sanitizer is not installed: memory and races were not checked"
fi
part 600 python -m pytest -q tests
part 480 python -m benchmarks.gpu "$@"
exit $failed
