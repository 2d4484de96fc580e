"""Denoising and inpainting by sparse coding beside other methods, on photographs.

    python -m benchmarks.sparse_restoration --data-root VOC2012 [--out FILE.json]
    python -m benchmarks.sparse_restoration --data-root VOC2012 --sweep     other parameters
    python -m benchmarks.sparse_restoration --table FILE.json               print what was stored

1. A dictionary is learnt from the first 20 photographs of the list ``train``, by the defaults of
   ``python -m minideconv.sparse_coding learn`` and two threads; the time is taken, and how many
   filters are oriented. It goes into a file that the command's ``--dictionary`` takes.
2. Every method's own parameter is chosen on photographs 41 to 44 of ``train``.
3. With these, 8 photographs of ``val``, spread over the list, are restored: their middle 256 x 256
   pixels, grey, with Gaussian noise of sigma 25, or without half of their pixels.

The others are scikit-image's: total variation (`denoise_tv_chambolle`, run until it converges),
non-local means (`denoise_nl_means`, patches of 5 and distance 6, given sigma) in place of BM3D, its
relative that filters groups of patches and does better; `inpaint_biharmonic`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.modes import set_our_threads
from benchmarks.store import load_shown
from minideconv.backend import as_device
from minideconv.data.shard import spread
from minideconv.errors import UsageError
from minideconv.settings.command_line import HelpFormatter, run_program
from minideconv.sparse_coding import coherence, denoise, inpaint, oriented, psnr
from minideconv.sparse_coding.dictionary_file import load_dictionary, save_dictionary
from minideconv.sparse_coding.images import read_photograph
from minideconv.sparse_coding.learn import Run
from minideconv.sparse_coding.orientation import random_coherence
from minideconv.sparse_coding.settings import LearnSettings

__all__ = ["DICTIONARY", "RESULTS", "main", "table"]

RESULTS = Path(__file__).parent / "results" / "sparse_restoration.json"
DICTIONARY = Path(__file__).parent / "results" / "sparse_dictionary.npz"
SIGMA, MISSING, SIDE = 25 / 255, 0.5, 256
LEARNT_FROM, CHOSEN_ON, MEASURED_ON = 20, 4, 8
CHOICES: dict[str, Sequence[float]] = {
    "sparse coding": (2.6, 3.0, 3.4, 3.8, 4.2),
    "total variation": (0.06, 0.07, 0.08),
    "non-local means": (0.4, 0.5, 0.6, 0.8),
    "sparse coding, inpainting": (0.005, 0.01, 0.02),
}
"""lambda / sigma, weight, h / sigma, lambda."""
PLAIN = "sparse coding, not refitted"

Image = np.ndarray
Method = Callable[[Image, float], Image]


def run(root: Path, dictionary: Path, again: bool = False) -> dict[str, Any]:
    """Learn, or with `again` take what was learnt before; choose, measure; print what comes out."""
    restoration = _skimage()
    set_our_threads(2)
    train, val = (_list(root, name) for name in ("train", "val"))
    if again:
        found = load_dictionary(dictionary)
        filters, learnt = found.model_state["filters"], found.header["learnt"]
    else:
        filters, learnt = _learnt(root, train[:LEARNT_FROM])
        settings = dataclasses.asdict(LearnSettings())
        header = {"settings": settings, "step": learnt["steps"], "learnt": learnt}
        save_dictionary(dictionary, filters, header, {})
    print(json.dumps(learnt), flush=True)
    chosen_on = _crops(root, train[40 : 40 + CHOSEN_ON])
    names = [val[i] for i in spread(len(val), MEASURED_ON)]
    measured_on = _crops(root, names)

    def total_variation(noisy: Image, weight: float) -> Image:
        return restoration.denoise_tv_chambolle(noisy, weight, eps=1e-5, max_num_iter=500)

    def nonlocal_means(noisy: Image, h: float) -> Image:
        return restoration.denoise_nl_means(
            noisy, patch_size=5, patch_distance=6, h=h * SIGMA, sigma=SIGMA, fast_mode=True
        )

    methods: dict[str, Method] = {
        "sparse coding": lambda x, f: denoise(x[None], filters, SIGMA, f * SIGMA)[0],
        "total variation": total_variation,
        "non-local means": nonlocal_means,
    }
    rows = {"noisy": {"parameter": None, "psnr": [psnr(n, x) for x, n in _noisy(measured_on)]}}
    for name, method in methods.items():
        best = _best(name, method, list(_noisy(chosen_on)))
        found = [psnr(method(n, best), x) for x, n in _noisy(measured_on)]
        rows[name] = {"parameter": best, "psnr": found}
        print(_line(name, rows[name]), flush=True)
        if name == "sparse coding":
            plain = [
                psnr(denoise(n[None], filters, SIGMA, best * SIGMA, refits=0)[0], x)
                for x, n in _noisy(measured_on)
            ]
            rows[PLAIN] = {"parameter": best, "psnr": plain}
    holes = {}

    def fill(image: Image, sparsity: float) -> Image:
        return inpaint(image[None], ~np.isnan(image), filters, sparsity)[0]

    name = "sparse coding, inpainting"
    best = _best(name, fill, list(_holes(chosen_on)))
    holes["sparse coding"] = {
        "parameter": best,
        "psnr": [psnr(fill(n, best), x) for x, n in _holes(measured_on)],
    }
    found = [
        psnr(restoration.inpaint_biharmonic(np.nan_to_num(n), np.isnan(n)), x)
        for x, n in _holes(measured_on)
    ]
    holes["biharmonic"] = {"parameter": None, "psnr": found}
    return {"learnt": learnt, "photographs": names, "denoising": rows, "inpainting": holes}


def _learnt(root: Path, names: Sequence[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """Learn by the command's defaults, from these photographs; return filters and figures."""
    settings = LearnSettings()
    folder = root / "JPEGImages"
    paths = [folder / f"{name}.jpg" for name in names]
    began, cpu = time.perf_counter(), time.process_time()
    learner = Run(folder, settings, as_device("cpu"), paths)
    learner.learn(settings.steps, lambda run: True)
    seconds = time.perf_counter() - began, time.process_time() - cpu
    filters = learner.filters
    return filters, {
        "photographs": len(paths),
        "steps": settings.steps,
        "seconds": seconds[0],
        "cpu_seconds": seconds[1],
        "filters": len(filters),
        "oriented": int(oriented(filters).sum()),
        "coherence": float(np.median(coherence(filters))),
        "random_median": random_coherence(filters.shape[1:], 0.5),
        "random_95": random_coherence(filters.shape[1:]),
    }


def sweep(root: Path, dictionary: Path) -> None:
    """Print the mean PSNR of step 2's photographs for a grid of all parameters of ours."""
    filters = load_dictionary(dictionary).model_state["filters"]
    images = _crops(root, _list(root, "train")[40 : 40 + CHOSEN_ON])
    for factor, smoothness, refits in product((2.4, 3.0, 3.6), (1.0, 2.5, 5.0), (0, 20, 40, 80)):
        how = {"sparsity": factor * SIGMA, "smoothness": smoothness, "refits": refits}
        found = [psnr(denoise(n[None], filters, SIGMA, **how)[0], x) for x, n in _noisy(images)]
        print(f"denoising, lambda {factor} sigma, mu {smoothness}, {refits} refits:"
              f" {np.mean(found):.2f} dB", flush=True)  # fmt: skip
    for sparsity, smoothness in product((0.005, 0.01, 0.02), (0.1, 0.2, 0.5, 1.0)):
        found = [
            psnr(inpaint(n[None], ~np.isnan(n), filters, sparsity, smoothness)[0], x)
            for x, n in _holes(images)
        ]
        print(
            f"inpainting, lambda {sparsity}, mu {smoothness}: {np.mean(found):.2f} dB", flush=True
        )


def _best(name: str, method: Method, pairs: Sequence[tuple[Image, Image]]) -> float:
    """Return the parameter with the highest mean PSNR; print all."""
    means = {}
    for parameter in CHOICES[name]:
        means[parameter] = float(np.mean([psnr(method(n, parameter), x) for x, n in pairs]))
        print(f"  {name} {parameter}: {means[parameter]:.2f} dB", flush=True)
    return max(means, key=lambda parameter: means[parameter])


def _noisy(images: Sequence[Image]) -> Any:
    """Yield each image with its noisy version, always the same."""
    for k, image in enumerate(images):
        noise = np.random.default_rng(k).standard_normal(image.shape)
        yield image, (image + SIGMA * noise).astype(np.float32)


def _holes(images: Sequence[Image]) -> Any:
    """Yield each image with NaN in place of half of its pixels."""
    for k, image in enumerate(images):
        missing = np.random.default_rng(k).random(image.shape) < MISSING
        yield image, np.where(missing, np.float32(np.nan), image)


def _list(root: Path, name: str) -> list[str]:
    path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise UsageError(f"--data-root {root}: {path}: {error.strerror}") from error


def _crops(root: Path, names: Sequence[str]) -> list[Image]:
    """Return the middle of photographs, grey."""
    crops = []
    for name in names:
        image = read_photograph(root / "JPEGImages" / f"{name}.jpg", False, (SIDE, SIDE))[0]
        top, left = ((n - SIDE) // 2 for n in image.shape)
        crops.append(image[top : top + SIDE, left : left + SIDE])
    return crops


def _skimage() -> ModuleType:
    try:
        import skimage.restoration as restoration
    except ImportError as error:
        raise UsageError("this needs scikit-image: pip install --group oracles") from error
    return restoration


def table(results: Mapping[str, Any]) -> str:
    """Return stored results as Markdown."""
    learnt, count = results["learnt"], len(results["photographs"])
    head = "| method | parameter | mean PSNR | best on |\n|---|---|---|---|\n"
    parts = [
        f"Measured on {results['date']}, {results['machine']['cpu']}, two threads.\n\n"
        f"{learnt['filters']} filters from {learnt['photographs']} photographs:"
        f" {learnt['seconds']:.0f} seconds ({learnt['cpu_seconds']:.0f} of processor time),"
        f" {learnt['steps']} steps; {learnt['oriented']} are more coherent than 95 % of random"
        f" ones; median coherence {learnt['coherence']:.2f} (random: {learnt['random_median']:.2f},"
        f" 95 % below {learnt['random_95']:.2f}).\n"
    ]
    titles = {
        "denoising": f"Noise of sigma 25, {count} photographs",
        "inpainting": f"Half of the pixels missing, {count} photographs",
    }
    for what, title in titles.items():
        rows = results[what]
        best = np.argmax([row["psnr"] for row in rows.values()], axis=0)
        wins = [int((best == k).sum()) for k in range(len(rows))]
        lines = [_line(name, row, won) for (name, row), won in zip(rows.items(), wins, strict=True)]
        parts.append(f"{title}:\n\n{head}" + "\n".join(lines) + "\n")
    means = {name: float(np.mean(row["psnr"])) for name, row in results["denoising"].items()}
    beside = []
    for name in ("total variation", "non-local means"):
        ahead = means["sparse coding"] - means[name]
        beside.append(f"{abs(ahead):.2f} dB {'above' if ahead > 0 else 'below'} {name}")
    parts.append(
        f"In the mean, denoising by sparse coding is {' and '.join(beside)} ({count} photographs,"
        " no intervals).\n"
    )
    return "\n".join(parts)


def _line(name: str, row: Mapping[str, Any], won: int | str = "") -> str:
    parameter = "" if row["parameter"] is None else f"{row['parameter']:g}"
    return f"| {name} | {parameter} | {np.mean(row['psnr']):.2f} | {won} |"


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparse_restoration",
        description=__doc__,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="a folder in VOC's layout")
    parser.add_argument("--sweep", action="store_true",
                        help="other parameters, with the stored dictionary")  # fmt: skip
    parser.add_argument("--again", action="store_true",
                        help="with the dictionary that an earlier run has stored")  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where it goes")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print stored results alone")
    given = parser.parse_args(arguments)
    if given.table is not None:
        sys.stdout.write(table(load_shown(given.table, table)))
        return 0
    if given.data_root is None:
        raise UsageError("name a folder of photographs in VOC's layout by --data-root")
    if given.sweep:
        sweep(given.data_root, given.out.with_name(DICTIONARY.name))
        return 0
    if not given.out.absolute().parent.is_dir():
        raise UsageError(f"--out {given.out}: there is no folder {given.out.absolute().parent}")
    found = run(given.data_root, given.out.with_name(DICTIONARY.name), given.again)
    results = {
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "versions": {**machine.versions(), "scikit-image": version("scikit-image")},
        **found,
    }
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(results)}\nstored in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.sparse_restoration", main))
