"""The run that spoils kernels: it covers every kernel file, and changes code and nothing else."""

from __future__ import annotations

import mutation_run
import pytest

from minideconv.engine.cuda import module

CODE = """// a + b < c
#define SIZE (1 + 2)
extern "C" __global__ void f(float* x, int n) {
  for (int i = 0; i < n; ++i) x[i] = x[i] * 2.0f + SIZE;  // i + 1
  __syncthreads();
}
"""


@pytest.mark.parametrize("file", sorted(path.name for path in module.KERNELS.iterdir()))
def test_every_kernel_file_has_tests_that_can_notice(file):
    tests, device = mutation_run.tests_of(file)
    assert tests, f"KNOWN_BY in mutation_run.py does not know {file}"
    assert all((mutation_run.ROOT / test).exists() for test in tests)
    assert device in ("cpu", "fakecuda")


def test_only_code_is_changed():
    found = mutation_run.mutants_of("f.cu", CODE)
    assert [(m.line, m.before, m.after) for m in found] == [
        (4, "0", "1"),
        (4, "<", "<="),
        (4, "++", "--"),
        (4, "*", "+"),
        (4, "+", "-"),
        (5, "__syncthreads();", ";"),
    ]
    for mutant in found:
        assert CODE[mutant.start :].startswith(mutant.before)
