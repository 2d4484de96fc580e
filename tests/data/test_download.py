"""Downloading: from a server of our own that breaks off, sends wrong sizes or a hostile archive."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minideconv.data import download
from minideconv.data.__main__ import main
from minideconv.data.voc import VOCSegmentation
from minideconv.errors import DataError, UsageError

FOLDER = "VOCdevkit/VOC2012"


class Server:
    """Serves `content` at any path; `cut` bytes of each answer at most; notes what was asked."""

    def __init__(self) -> None:
        self.content, self.cut, self.status, self.ranges = b"", None, None, True
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                server.asked.append(wanted)
                if server.status is not None:
                    self.send_error(server.status)
                    return
                start = int(wanted[6:-1]) if wanted and server.ranges else 0
                if start and start >= len(server.content):
                    self.send_error(416)
                    return
                body = server.content[start:]
                self.send_response(206 if wanted and server.ranges else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: server.cut])

            def log_message(self, *_) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/set.tar"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    served = Server()
    thread = threading.Thread(target=served.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.http.shutdown()
    thread.join()
    served.http.server_close()


def offer(server: Server, content: bytes, monkeypatch) -> None:
    server.content = content
    md5 = hashlib.md5(content).hexdigest()
    archive = download.Archive(server.url, md5, 1, FOLDER)
    monkeypatch.setitem(download.ARCHIVES, "voc2012", archive)


def tar_of(folder: Path, prefix: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(folder, prefix)
    return stream.getvalue()


@pytest.fixture
def good(tmp_path, tree):
    source = tree.make(tmp_path / "source", {"a": tree.mask(3), "b": tree.mask(4)})
    (source / "ImageSets" / "Segmentation" / "val.txt").write_text("b\n")
    return tar_of(source, FOLDER)


def left_behind(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_download_then_nothing_to_do(server, good, tmp_path, monkeypatch, capsys):
    offer(server, good, monkeypatch)
    root = tmp_path / "data"
    assert main(["download", "voc2012", "--data-root", str(root)]) == 0
    out = capsys.readouterr().out
    assert "train: 2 images with masks" in out
    assert "val: 1 images with masks" in out
    assert len(VOCSegmentation(root)) == 2
    assert left_behind(root) == {"VOCdevkit", "set.tar"}
    assert main(["download", "voc2012", "--data-root", str(root)]) == 0
    assert "is there already; nothing to do" in capsys.readouterr().out
    assert server.asked == [None]


def test_a_folder_that_appears_meanwhile_is_left_alone(server, good, tmp_path, monkeypatch, capsys):
    """As when two downloads run at once: nothing is put into what the other one unpacked."""
    offer(server, good, monkeypatch)
    root, real = tmp_path / "data", download._refuse_outside

    def other(member, path):
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        (root / FOLDER / "theirs").touch()
        real(member, path)

    monkeypatch.setattr(download, "_refuse_outside", other)
    assert main(["download", "voc2012", "--data-root", str(root)]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert left_behind(root / FOLDER) == {"theirs"}
    assert left_behind(root / "VOCdevkit") == {"VOC2012"}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_resumed(server, good, tmp_path, monkeypatch, ranges):
    offer(server, good, monkeypatch)
    server.cut = 1000
    with pytest.raises(DataError, match=r"broke off after 0\.0 MB .*run the same command again"):
        download.download_voc("voc2012", tmp_path / "data")
    assert left_behind(tmp_path / "data") == {"set.tar.part"}
    server.cut, server.ranges = None, ranges
    messages: list[str] = []
    folder = download.download_voc("voc2012", tmp_path / "data", messages.append)
    assert server.asked == [None, "bytes=1000-"]
    assert any("going on" in line for line in messages)
    assert VOCSegmentation(folder).validate() == []


def test_a_part_that_is_complete_already_is_used(server, good, tmp_path, monkeypatch):
    offer(server, good, monkeypatch)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set.tar.part").write_bytes(good)
    folder = download.download_voc("voc2012", tmp_path / "data")
    assert len(VOCSegmentation(folder)) == 2


def test_an_archive_fetched_by_other_means_is_used(server, good, tmp_path, monkeypatch):
    offer(server, good, monkeypatch)
    (tmp_path / "set.tar").write_bytes(good)
    download.download_voc("voc2012", tmp_path)
    assert server.asked == []


def test_another_file_under_the_archives_name_is_replaced(server, good, tmp_path, monkeypatch):
    offer(server, good, monkeypatch)
    (tmp_path / "set.tar").write_bytes(good[:-1])
    download.download_voc("voc2012", tmp_path)
    assert server.asked == [None]
    assert (tmp_path / "set.tar").read_bytes() == good


def test_a_wrong_checksum_deletes_what_came(server, good, tmp_path, monkeypatch):
    offer(server, good, monkeypatch)
    server.content = good[:-1] + b"x"
    with pytest.raises(DataError, match=r"has the checksum .* instead of .*; it was deleted"):
        download.download_voc("voc2012", tmp_path / "data")
    assert left_behind(tmp_path / "data") == set()


def test_a_server_that_refuses_or_is_not_there(server, good, tmp_path, monkeypatch):
    offer(server, good, monkeypatch)
    server.status = 404
    with pytest.raises(DataError, match=r"set\.tar answered 404 Not Found"):
        download.download_voc("voc2012", tmp_path)
    gone = download.Archive("http://127.0.0.1:9/set.tar", "0" * 32, 1, FOLDER)
    monkeypatch.setitem(download.ARCHIVES, "voc2012", gone)
    assert main(["download", "voc2012", "--data-root", str(tmp_path)]) == 1


@pytest.mark.parametrize("attack", ["../evil", "/evil", "link"])
def test_archives_that_lead_outside_are_refused(server, tmp_path, monkeypatch, attack):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        inside = tarfile.TarInfo(f"{FOLDER}/fine.txt")
        tar.addfile(inside)
        member = tarfile.TarInfo(attack)
        if attack == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(member)
    offer(server, stream.getvalue(), monkeypatch)
    with pytest.raises(DataError, match="is a link, a device or leads outside"):
        download.download_voc("voc2012", tmp_path / "data")
    assert left_behind(tmp_path / "data") <= {"set.tar", "VOCdevkit"}
    assert not (tmp_path / "data" / FOLDER).exists()
    assert not (tmp_path / "evil").exists()


def test_archives_of_something_else(server, tmp_path, monkeypatch):
    offer(server, b"this is no archive" * 100, monkeypatch)
    with pytest.raises(DataError, match=r"set\.tar cannot be unpacked"):
        download.download_voc("voc2012", tmp_path / "one")
    (tmp_path / "stuff").mkdir()
    offer(server, tar_of(tmp_path / "stuff", "other"), monkeypatch)
    with pytest.raises(DataError, match="holds no folder VOCdevkit/VOC2012"):
        download.download_voc("voc2012", tmp_path / "two")
    assert not list((tmp_path / "two").glob(".unpacking-*"))


def test_unknown_names_and_places(tmp_path):
    with pytest.raises(UsageError, match="'voc1999' is unknown; there are voc2012, voc2007"):
        download.download_voc("voc1999", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file cannot be written"):
        download.download_voc("voc2012", tmp_path / "file")


def test_the_official_checksums_are_well_formed():
    for archive in download.ARCHIVES.values():
        assert len(archive.md5) == 32
        assert np.frombuffer(bytes.fromhex(archive.md5), np.uint8).size == 16
        assert archive.url.endswith(".tar")
