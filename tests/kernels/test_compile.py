"""Every kernel, compiled for every GPU there is: no warning, no spill, registers to spare.

What a CPU cannot show of a kernel, the compiler can: whether it fits into the registers of a block.
``python tests/support/nvrtc.py`` prints the table.
"""

from __future__ import annotations

import pytest

from minideconv.engine.cuda import module

HEAD = 'extern "C" __global__ void '
FINE = HEAD + "doubled(float* x) { x[threadIdx.x] *= 2; }"

# Sixty numbers live at once, in a block of 1024 threads, which may have 64 registers each.
SPILLING = (
    HEAD
    + """__launch_bounds__(1024, 1) crowded(float* x) {
  float held[160];
#pragma unroll
  for (int i = 0; i < 160; ++i) held[i] = x[threadIdx.x + 1024 * i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 160; ++i) x[threadIdx.x * 160 + i] = held[i] * held[(i * 7) % 160];
}"""
)
LOCAL = (
    HEAD
    + """indexed(float* x, int j) {
  float held[32];
  for (int i = 0; i < 32; ++i) held[i] = x[i + threadIdx.x];
  for (int i = 0; i < j; ++i) held[(i * j) % 32] += i;
  x[threadIdx.x] = held[j % 32];
}"""
)


@pytest.mark.slow  # a minute the first time; kept by NVRTC's cache
def test_every_kernel_compiles_for_every_gpu(nvrtc):
    reports = nvrtc.run_all(nvrtc.jobs())
    print(nvrtc.table(reports))
    wrong = [line for job, report in reports.items() for line in nvrtc.problems(job, report)]
    assert not wrong, "\n".join(wrong)
    files = sorted(path.name for path in module.KERNELS.glob("*.cu"))
    assert files, "there are no kernels"
    for file in files:
        seen = {k.name for job, report in reports.items() if job.file == file
                for k in report.kernels}  # fmt: skip
        assert seen == set(module.parameters(file)), f"{file}: not all kernels were compiled"
        assert {job.architecture for job in reports if job.file == file} >= {80, 90, 100, 120}


def planted(nvrtc, text, architecture=90):
    job = nvrtc.Job("planted.cu", text, (), architecture)
    return nvrtc.problems(job, nvrtc.run(job))


@pytest.mark.parametrize("architecture", [70, 120])
def test_nothing_is_wrong_with_a_kernel_that_is_right(nvrtc, architecture):
    assert planted(nvrtc, FINE, architecture) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (FINE.replace("threadIdx", "threadIndex"), 'identifier "threadIndex" is undefined'),
        (FINE.replace("*= 2;", "*= 2; int unused;"), "declared but never referenced"),
        (SPILLING, "crowded spills"),
        (LOCAL, "indexed keeps 128 bytes in slow local memory"),
        (FINE.replace("{", "{ __shared__ float big[20000]; big[threadIdx.x] = *x; "
                      "__syncthreads(); *x = big[threadIdx.x ^ 1];"), "shared"),
    ],
    ids=["error", "warning", "spill", "local memory", "shared memory"],
)  # fmt: skip
def test_a_planted_mistake_is_found(nvrtc, text, complaint):
    assert any(complaint in line for line in planted(nvrtc, text)), planted(nvrtc, text)


def test_the_block_size_limits_the_registers(nvrtc):
    assert nvrtc.register_limit(256) == 255
    assert nvrtc.register_limit(257) == 224
    assert nvrtc.register_limit(512) == 128
    assert nvrtc.register_limit(1024) == 64
    assert nvrtc.register_limit(256, 4) == 64
    text = (
        "#define WIDE (8 > 4 ? 16 : 1)\n"
        + FINE.replace("doubled", "__launch_bounds__(WIDE * 8 / 2, 3) bounded")
        + FINE
    )
    kernels = {k.name: k for k in nvrtc.run(nvrtc.Job("planted.cu", text, (), 90)).kernels}
    assert (kernels["bounded"].threads, kernels["bounded"].blocks) == (64, 3)
    assert (kernels["doubled"].threads, kernels["doubled"].blocks) == (module.BLOCK, 1)
    greedy = nvrtc.Report((nvrtc.Kernel("f", 200, 0, 0, 0, 512, 3),), ())
    wrong = nvrtc.problems(nvrtc.Job("f.cu", text, ("A=1",), 90), greedy)
    assert wrong == ["f.cu A=1 sm_90: f needs 200 registers of 40"]


def test_a_file_lists_its_macros_and_what_it_needs(nvrtc, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KERNELS", tmp_path)
    (tmp_path / "common.cuh").write_text("// head\n")
    (tmp_path / "a.cu").write_text("// needs: sm_86\n// compile: REAL=float X=1\n// compile: X=2\n")
    jobs = list(nvrtc.jobs())
    assert [job.architecture for job in jobs] == [86, 89, 90, 100, 120, 90, 120]
    assert [job.architecture for job in nvrtc.jobs(every=True)] == [86, 89, 90, 100, 120] * 2
    assert jobs[0].macros == ("REAL=float", "X=1")
    assert jobs[0].text.startswith("// head\n")
    (tmp_path / "b.cu").write_text("nothing")
    with pytest.raises(ValueError, match=r"b.cu: no line '// compile: NAME=VALUE"):
        list(nvrtc.jobs())
