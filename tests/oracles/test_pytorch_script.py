"""The script of docs/pytorch_script.md: with other imports it computes the same in PyTorch."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.usefixtures("torch"), pytest.mark.cpu]

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / "examples" / "shapes_from_pytorch.py").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "pytorch_script.md").read_text(encoding="utf-8")
HEAD, IMPORTS, BODY = re.split(r"# --- (?:end of )?imports\n", SCRIPT)
(THEIRS,) = re.findall(r"^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(OURS,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def script(imports: str, *changes: tuple[str, str]) -> Any:
    """Return what the script defines with these imports, and with other changes to its text."""
    text = HEAD + imports + BODY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    names = {"__name__": "script"}
    exec(compile(text, "shapes_from_pytorch.py", "exec", dont_inherit=True), names)
    return SimpleNamespace(**names)


def test_the_page_shows_the_imports_of_the_script():
    assert IMPORTS.strip() == OURS.strip()
    assert "literalinclude} ../examples/shapes_from_pytorch.py" in PAGE
    assert "torch" not in re.sub(r"\btorch\.", "", BODY).lower().replace("pytorch", "")


def data(library, size):
    images, masks, labels = library.make_shapes(9, size, seed=3)
    return images.double(), masks.double(), labels


def train(library, kind, start=None):
    """Train one network in float64; return the losses, and everything there is afterwards by name.

    `start` is the state of the network at the beginning; without it the seeds decide.
    """
    if kind == "unet":
        # 21 pixels are halved to 10 and 5: both are resized on the way up.
        net, size = library.UNet(features=(3, 6)), 21
    else:
        net, size = library.ResNet(2, (4, 8)), 18
    on_torch = library.nn.__name__ == "torch.nn"
    if on_torch:
        net.double()
        state = {name: library.torch.tensor(array) for name, array in start.items()}
        net.load_state_dict(state)
    else:
        net.to(dtype="float64")
        net.apply(library.init_weights)
        if start is not None:
            net.load_state_dict(start)
    begin = {} if on_torch else net.state_dict()
    images, masks, labels = data(library, size)
    found: dict[str, Any] = {}
    if kind == "unet":
        found["losses"], averaged = library.train_unet(net, images, masks, 2, 4)
        for number, p in enumerate(averaged):
            found[f"averaged {number}"] = p
        # PyTorch divides two counts in float32.
        found["IoU"] = np.float32(library.mean_iou(net, images, masks))
    else:
        found["losses"] = library.train_resnet(net, images, labels, 2, 4)
        found["accuracy"] = library.accuracy(net, images, labels)
    for name, p in net.named_parameters():
        found[f"gradient {name}"] = p.grad
    found |= dict(net.state_dict())
    return begin, {
        name: np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)
        for name, value in found.items()
    }


def difference(a, b):
    """Return the largest difference in units of the larger array's range."""
    assert a.keys() == b.keys()
    return max(abs(a[n] - b[n]).max() / max(abs(b[n]).max(), 1e-3) for n in a)


@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_losses_gradients_and_weights_are_pytorchs(kind):
    start, ours = train(script(OURS), kind)
    _, theirs = train(script(THEIRS), kind, start)
    assert len(ours["losses"]) == 6
    assert ours["losses"][0] != ours["losses"][-1]
    assert difference(ours, theirs) < 1e-9


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("unet", "nesterov=True", "nesterov=False"),
        ("unet", "** 0.9)", "** 0.8)"),
        ("unet", "1.0 - dice.mean()", "1.0 - 0.999 * dice.mean()"),
        ("unet", "max_norm=5.0", "max_norm=0.5"),
        ("unet", "align_corners=False", "align_corners=True"),
        ("unet", "[skip, x]", "[x, skip]"),
        ("unet", "x[:, :, :4, :4] = 0.0", "pass"),
        ("resnet", "GroupNorm(4", "GroupNorm(2"),
        ("resnet", "gamma=0.5", "gamma=0.6"),
        ("resnet", '"weight_decay": 0.0', '"weight_decay": 0.1'),
        ("resnet", "label_smoothing=0.02", "label_smoothing=0.0"),
    ],
)
def test_another_script_is_seen(kind, old, new):
    changes = [(old, new)]
    if "gamma" in old:
        changes.append(("step_size=8", "step_size=1"))
        right = script(OURS, changes[1])
    else:
        right = script(OURS)
    start, ours = train(right, kind)
    _, other = train(script(OURS, *changes), kind, start)
    assert difference(ours, other) > 1e-6


@pytest.mark.parametrize("imports", [OURS, THEIRS], ids=["here", "PyTorch"])
def test_the_whole_script_runs(imports, capsys):
    """Small here, in float32: what it prints is about networks that have hardly learned."""
    script(imports).main(count=8, epochs=1)
    lines = capsys.readouterr().out.splitlines()
    numbers = [float(n) for line in lines[:2] for n in re.findall(r"\d+\.\d+", line)]
    assert len(numbers) == 6
    assert all(np.isfinite(numbers))
    assert lines[2] == "left as they were: fc.weight, fc.bias"
