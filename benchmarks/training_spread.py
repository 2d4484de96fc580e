"""Does Winograd's rounding change what a network learns? ``python -m benchmarks.training_spread``

Trains one small network several times under "exact" and under "fast", once for each seed, on drawn
pictures, and compares: the two algorithms with the same seed start from the same weights and see
the same pictures, so they differ by rounding alone; two seeds differ by everything else. The
network is wide enough (64 channels and more on maps of 32 and 16 pixels) that "fast" really is
Winograd's convolution in most of its layers; the program prints in how many.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from datetime import date
from pathlib import Path
from typing import Any

from minideconv.backend.algorithms import algorithm
from minideconv.engine.cpu import table
from minideconv.training import TrainConfig, Trainer

SETTINGS: dict[str, Any] = {
    "width": 64,
    "depth": 2,
    "fc": 64,
    "fc_kernel": 1,
    "image_size": 36,
    "input_size": 32,
    "stage": "whole",
    "epochs": 1,
    "val_images": 100,
}
RESULTS = Path(__file__).parent / "results" / "training_spread.json"


def train(name: str, seed: int, images: int) -> dict[str, float]:
    """Train under one algorithm; return the loss and the mean IoU on the validation pictures."""
    with algorithm(name):
        trainer = Trainer(TrainConfig(**SETTINGS, seed=seed, train_images=images))
        trainer.fit()
        confusion, loss = trainer.evaluate(trainer.val_data)
    return {"val_loss": float(loss), "val_mean_iou": float(confusion.compute()["mean_iou"])}


def winograd_layers() -> tuple[int, int]:
    """Train two steps; return how many convolutions were Winograd's, and how many there were."""
    asked: list[str] = []
    original = table.choose

    def listening(*arguments: Any) -> Any:
        found = original(*arguments)
        asked.append(found.name if found else "reference")
        return found

    from minideconv.engine.cpu import conv

    conv.choose = listening
    try:
        train("fast", 0, 16)
    finally:
        conv.choose = original
    return sum("winograd" in name for name in asked), len(asked)


def summary(runs: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Compare for each figure: the spread over seeds, and the difference of the algorithms."""
    found = {}
    for figure in runs["exact"][0]:
        exact, fast = ([run[figure] for run in runs[name]] for name in ("exact", "fast"))
        found[figure] = {
            "exact_mean": statistics.mean(exact),
            "fast_mean": statistics.mean(fast),
            "spread_over_seeds": statistics.stdev(exact),
            "difference_of_means": statistics.mean(fast) - statistics.mean(exact),
        }
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_spread")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="2 or more")
    parser.add_argument("--images", type=int, default=1600, metavar="N", help="for each run")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE")
    given = parser.parse_args(arguments)
    if given.seeds < 2:
        parser.error(f"--seeds is {given.seeds}; a spread needs at least 2")
    share, total = winograd_layers()
    print(f"under fast, {share} of {total} convolutions are Winograd's")
    runs: dict[str, list[dict[str, float]]] = {"exact": [], "fast": []}
    for seed in range(given.seeds):
        for name, found in runs.items():
            found.append(train(name, seed, given.images))
            print(f"seed {seed}  {name:<6}", {key: round(v, 4) for key, v in found[-1].items()})
    found = summary(runs)
    for figure, row in found.items():
        print(figure, {key: round(value, 4) for key, value in row.items()})
    within = all(abs(r["difference_of_means"]) <= r["spread_over_seeds"] for r in found.values())
    print("fast ends within the spread over seeds:", "yes" if within else "no")
    result = {
        "date": date.today().isoformat(),
        "settings": {**SETTINGS, "images": given.images, "seeds": given.seeds},
        "winograd_convolutions": share,
        "convolutions": total,
        "runs": runs,
        "summary": found,
        "within_the_spread": within,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
