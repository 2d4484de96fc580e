"""Event files: read by TensorBoard's own reader, and record by record."""

from __future__ import annotations

import math
import struct

import pytest
from written_run import epoch_line, step_line, write_run

from minideconv.report import main
from minideconv.report.event_file import crc32c, event_file
from minideconv.report.tensorboard import scalars

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("data", "value"),
    [  # RFC 3720, appendix B.4
        (b"\0" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_are_those_of_the_standard(data, value):
    assert crc32c(data) == value


def test_a_record_byte_by_byte():
    content = event_file(2.5, [(3.0, 300, "a", -1.5)])
    records = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        records.append(content[12 : 12 + length])
        content = content[16 + length :]
    version = b"\x09" + struct.pack("<d", 2.5) + b"\x1a\x0dbrain.Event:2"
    value = b"\x0a\x01a\x15" + struct.pack("<f", -1.5)
    summary = b"\x0a" + bytes([len(value)]) + value
    event = b"\x09" + struct.pack("<d", 3.0) + b"\x10\xac\x02\x2a" + bytes([len(summary)]) + summary
    assert records == [version, event]


def test_only_finite_numbers_are_written():
    line = epoch_line(1, [0.5, None], train={"loss": math.nan, "mean_iou": 0.2})
    lines = [step_line(5, loss=math.inf, images_per_second=1e300), line]
    found = {tag: (at, step, value) for at, step, tag, value in scalars(lines, 100.0)}
    assert found["step/lr"] == (130.0, 5, 0.1)
    assert found["val/class_iou/0"] == (160.0, 10, 0.5)
    assert found["memory/process"] == (160.0, 10, 2.0**30)
    for tag in ("step/loss", "step/images_per_second", "train/loss", "val/class_iou/1"):
        assert tag not in found


def test_the_command_writes_the_same_file_again(tmp_path, capsys):
    run = write_run(tmp_path / "run", ["background", "cat"])
    contents = []
    for _ in range(2):
        assert main([str(run.path), "--tensorboard"]) == 0
        path = capsys.readouterr().out.splitlines()[1]
        with open(path, "rb") as file:
            contents.append(file.read())
    assert contents[0] == contents[1]


def test_tensorboard_reads_it(tmp_path):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra"
    )
    run = write_run(tmp_path / "run", ["background", "cat"])
    assert main([str(run.path), "--tensorboard"]) == 0
    found = reader.EventAccumulator(str(run.path / "tensorboard")).Reload()
    epochs = found.Scalars("val/mean_iou")
    assert [one.step for one in epochs] == [10, 20, 30]
    assert [one.value for one in epochs] == pytest.approx([0.1, 0.2, 0.3])
    assert epochs[0].wall_time == epochs[1].wall_time - 60
