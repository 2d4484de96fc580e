"""Makes the pictures and the table of the page autoencoders: trains three small networks.

``python docs/_ext/autoencoder_pictures.py``; the docs build calls `write_all`, which does nothing
where the pictures are of this very code.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minideconv.data import Shapes
from minideconv.ops import max_pool2d, max_unpool2d
from minideconv.tasks.autoencoder.reconstructor import Reconstructor
from minideconv.training import TrainConfig, Trainer

DOCS = Path(__file__).resolve().parents[1]
GENERATED = DOCS / "generated"
SOURCES = ("models/autoencoder.py", "models/corruption.py", "tasks/autoencoder/task.py")

SETTINGS: dict[str, Any] = {
    **{"task": "autoencode", "width": 16, "depth": 2, "image_size": 32, "input_size": 32},
    **{"train_images": 600, "val_images": 60, "epochs": 8, "optimizer": "adamw", "lr": 0.004},
    **{"val_every": 8, "images": 0, "threads": 1, "device": "cpu"},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "auto-encoder": {"model": "autoencoder"},
    "what-where auto-encoder": {"model": "swwae"},
    "denoising auto-encoder": {"model": "autoencoder", "noise": 0.6},
}
SHOWN = (3, 17, 41)


def write_all() -> None:
    """Write the pictures and the table, unless they are of this code already."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in SOURCES:
        digest.update((DOCS.parent / "minideconv" / name).read_bytes())
    GENERATED.mkdir(exist_ok=True)
    stamp = GENERATED / "autoencoders.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest.hexdigest():
        return
    draw_what_and_where(GENERATED / "what-where.png")
    trained = {name: train(settings) for name, settings in NETWORKS.items()}
    data = Shapes("val", length=SETTINGS["val_images"], size=32, difficulty="easy")
    images = [data[index][0] for index in SHOWN]
    draw_reconstructions(GENERATED / "autoencoders.png", images, trained)
    (GENERATED / "autoencoders-table.md").write_text(table(trained), encoding="utf-8")
    stamp.write_text(digest.hexdigest(), encoding="utf-8")


def train(settings: dict[str, Any]) -> tuple[Trainer, dict[str, Any]]:
    trainer = Trainer(TrainConfig(**SETTINGS, **settings))
    trainer.fit()
    metrics, _ = trainer.evaluate(trainer.val_data)
    return trainer, metrics.compute()


def table(trained: dict[str, tuple[Trainer, dict[str, Any]]]) -> str:
    rows = ["| network | parameters | PSNR of clean images | MSE |", "|---|--:|--:|--:|"]
    for name, (trainer, found) in trained.items():
        count = trainer.model.num_parameters()
        rows.append(f"| {name} | {count:,} | {found['psnr']:.1f} dB | {found['mse']:.0f} |")
    return "\n".join(rows) + "\n"


def draw_what_and_where(path: Path) -> None:
    """Outlines of a picture, as a layer may find them: pooled, and unpooled in both ways."""
    image, _ = Shapes("val", length=50, size=48, difficulty="easy")[SHOWN[-1]]
    grey = image.mean(axis=2).astype(np.float32)
    outlines = np.abs(np.gradient(grey)).sum(axis=0)[None, None]
    what, where = max_pool2d(outlines, 2, return_switches=True)
    corner = where.with_taps(np.zeros_like(where.taps))
    panels = {
        "a map of outlines": outlines,
        "what: pooled": what,
        "unpooled with the where": max_unpool2d(what, where),
        "unpooled without": max_unpool2d(what, corner),
    }
    figure = Figure(figsize=(10, 2.9), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axes.imshow(values[0, 0], cmap="viridis", interpolation="nearest", vmin=0, vmax=60)
        axes.set_title(f"{title}, {values.shape[2]} x {values.shape[3]}", fontsize=9)
        axes.set_axis_off()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_reconstructions(
    path: Path, images: list[np.ndarray], trained: dict[str, tuple[Trainer, dict[str, Any]]]
) -> None:
    """A row for each picture: itself, drawn again by two networks; noisy, and cleaned."""
    predictors: dict[str, Reconstructor] = {
        name: trainer.predictor() for name, (trainer, _) in trained.items()
    }
    titles = ("picture", "auto-encoder", "what-where", "with noise", "denoised")
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    grid = figure.subplots(len(images), len(titles))
    for row, image in zip(grid, images, strict=True):
        plain = predictors["auto-encoder"].pictures(image)
        switches = predictors["what-where auto-encoder"].pictures(image)
        denoised = predictors["denoising auto-encoder"].pictures(image, seed=1)
        shown = (plain.given, plain.again, switches.again, denoised.corrupted, denoised.again)
        for axes, picture in zip(row, shown, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    write_all()
