"""What a prediction costs: two processes, one sentence for what cannot be."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import predict_cost
from minideconv import train
from minideconv.errors import UsageError

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(sys.modules["os"], "wait4"), reason="needs os.wait4"),
]

TINY = [
    *("--train-images", "4", "--val-images", "2", "--image-size", "32", "--difficulty", "easy"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--device", "cpu", "-b", "2"),
    *("--stage", "whole", "--epochs", "1", "--recalibrate", "1", "--images", "0", "-q"),
]


def test_it_measures_and_refuses(tmp_path, capsys):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for k in range(3):
        picture = np.random.default_rng(k).integers(0, 256, (24, 40, 3), dtype=np.uint8)
        Image.fromarray(picture).save(photographs / f"{k}.jpg")
    run = tmp_path / "run"
    assert train.main([*TINY, "--output-dir", str(run)]) == 0
    out = tmp_path / "cost.json"
    arguments = [str(photographs), "--turns", "1", "--out", str(out), "--", str(run)]
    assert predict_cost.main([*arguments, "--flip"]) == 0
    found = json.loads(out.read_text())
    assert found["photographs"] == 3
    assert found["peak_mib"] > 20
    assert found["seconds_start"] + found["seconds_each"] > 0
    assert "s for a photograph" in capsys.readouterr().out
    with pytest.raises(UsageError, match="1 photographs; two at least are needed"):
        predict_cost.main([str(photographs), "--count", "1", "--", str(run)])
    with pytest.raises(UsageError, match=r"minideconv\.predict ended with exit code 2"):
        predict_cost.main([str(photographs), "--turns", "1", "--", str(tmp_path / "none")])
