"""How a process finds out whether there are others, and the error if something is missing."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from minideconv.distributed import Single, find
from minideconv.errors import AlreadyReported, DeviceError, UsageError

LAUNCHERS = [*find._SIZES, *find._LOCAL_RANKS, find._NO_SIZE]


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """No launcher's variables, however the tests were started."""
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


def test_a_plain_run_imports_no_mpi():
    script = (
        "import sys; from minideconv.distributed import processes; comm = processes();"
        "print(comm.size, 'mpi4py' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "1 False\n"


@pytest.mark.parametrize("name", find._SIZES)
def test_a_launcher_announces_how_many(monkeypatch, name):
    monkeypatch.setenv(name, "4")
    assert find.launched() == 4


def test_one_process_of_a_launcher_is_alone(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "1")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert isinstance(find.processes(), Single)


def test_a_launcher_that_gives_the_number_to_mpi_only(monkeypatch):
    monkeypatch.setenv("PMIX_RANK", "0")
    assert find.launched() == 0


def test_mpi4py_is_missing(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(UsageError, match="4 processes were started by mpiexec but mpi4py is not"):
        find.processes()
    monkeypatch.setenv("MPI_LOCALRANKID", "2")  # one process on each machine says so
    with pytest.raises(AlreadyReported) as error:
        find.processes()
    assert error.value.exit_code == 2


class NoLibrary:
    """mpi4py where there is no MPI: its import raises RuntimeError."""

    def __getattr__(self, name):
        raise RuntimeError("cannot load MPI library\nlibmpi.so.12: not found")


def test_the_mpi_library_is_missing(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", NoLibrary())
    with pytest.raises(UsageError, match=r"finds no MPI library \(cannot load MPI library\)"):
        find.processes()


def test_mpiexec_of_another_mpi(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    mpi = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(size=1), Get_library_version=lambda: "MPICH Version: 5\nmore"
    )
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    with pytest.raises(UsageError, match=r"started 4 processes but .*\(MPICH Version: 5\) sees 1"):
        find.processes()


def gpus(monkeypatch, count):
    runtime = SimpleNamespace(getDeviceCount=lambda: count)
    monkeypatch.setattr(
        find, "cupy", lambda: SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    )
    monkeypatch.setattr(find, "as_device", lambda name: find.Device("gpu"))


def test_each_process_has_the_gpu_of_its_number(monkeypatch):
    gpus(monkeypatch, 4)
    assert [str(find.own_device("gpu", rank)) for rank in range(4)] == [
        "gpu:0",
        "gpu:1",
        "gpu:2",
        "gpu:3",
    ]
    with pytest.raises(DeviceError, match="has 4 GPUs but at least 5 processes"):
        find.own_device("gpu", 4)


def test_a_launcher_may_show_each_process_its_own_gpu(monkeypatch):
    gpus(monkeypatch, 1)
    assert str(find.own_device("gpu", 3)) == "gpu:0"
    assert find._shared_gpu(["GPU a", "GPU b"]) == ""
    assert "ranks 1, 2 have the same GPU b" in find._shared_gpu(["GPU a", "GPU b", "GPU b"])


def test_one_gpu_is_not_for_all():
    with pytest.raises(DeviceError, match=r"^device gpu:1 names one GPU"):
        find.own_device("gpu:1", 0)


def test_nccl_is_missing(monkeypatch):
    monkeypatch.setattr(find, "nccl", lambda: None)
    assert "need NCCL, which is not installed; pip install" in find._nccl_problem()
