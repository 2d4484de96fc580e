#!/usr/bin/env bash
# Everything that can be checked on a machine with a GPU, half an hour at most: the first run
# (8 minutes), the test suite on the GPU (14), NVIDIA's compute-sanitizer over the kernels (8).
#
#   bash benchmarks/gpu.sh [arguments of gpu_first_run.sh]
#
# It needs what the tests need (pip install ".[test]"). Each part has its own time limit, so that a
# slow one does not cost the others. The exit status is 0 only if all that could run passed;
# compute-sanitizer is left out, with a word, where it is not installed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-python3}
export MINIDECONV_TEST_DEVICE=gpu
failed=0

part() { # part SECONDS COMMAND...
  local limit=$1
  shift
  printf '\n=== %s ===\n' "$*"
  timeout "$limit" "$@" || { echo "FAILED ($?)"; failed=1; }
}

bash benchmarks/gpu_first_run.sh "$@" || failed=1  # its parts have limits of their own
part 300 "$PYTHON" -m pytest -q tests/cuda
part 540 "$PYTHON" -m pytest -q tests --ignore=tests/cuda
if command -v compute-sanitizer >/dev/null; then
  # The tests of kernels alone: of whole runs the sanitizer makes hours.
  for tool in memcheck racecheck; do
    part 240 compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
      "$PYTHON" -m pytest -q tests/cuda -k "kernels or columns or implicit or images or losses or confusion or permutohedral or mean_field or sort" -p no:cacheprovider
  done
else
  echo "compute-sanitizer is not installed: memory and races were not checked"
fi
exit $failed
