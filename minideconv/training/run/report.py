"""``report.html``: a whole run on one page that opens anywhere, made from the run folder alone.

The page carries its style, its charts (SVG) and its pictures (PNG in base64) in itself: no script,
no network. `write_report` reads config.json, metrics.jsonl, evaluation.json and pictures/, so it
can be made again at any time, also while the run still goes on: ``python -m minideconv.report
RUN``.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from minideconv._version import __version__
from minideconv.data.voc_colors import voc_palette
from minideconv.errors import DataError
from minideconv.models import MODELS
from minideconv.training.config import TrainConfig
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.progress import format_seconds
from minideconv.training.validation import spread
from minideconv.visualize.charts import Line, line_chart

__all__ = ["report_html", "write_report"]

_FIGURES = (
    ("mean_iou", "mean IoU"),
    ("pixel_accuracy", "pixel accuracy"),
    ("mean_accuracy", "mean class accuracy"),
    ("frequency_weighted_iou", "frequency weighted IoU"),
)
_SETS = {"train": "training", "val": "validation"}


def write_report(run: RunFolder) -> Path:
    """Write the run's report.html from what is in the folder; return its path.

    Raises
    ------
    DataError
        If the folder holds no run.
    """
    write_text(run.report, report_html(run))
    return run.report


def report_html(run: RunFolder) -> str:
    """Return the page as text."""
    try:
        config = json.loads(run.config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{run.path}: there is no run here, {run.config} cannot be read") from error
    if not run.is_run():
        raise DataError(f"{run.path}: there is no run here, {run.config} is of another program")
    metrics = run.read_metrics()
    evaluation: dict[str, Any] = {}
    if run.evaluation.exists():
        evaluation = json.loads(run.evaluation.read_text(encoding="utf-8"))
    epochs = [line for line in metrics if line["kind"] == "epoch"]
    parts = [
        _head(run, config, epochs),
        _tiles(evaluation, epochs),
        _charts(metrics, epochs),
        _samples(run, evaluation),
        _learning(run, epochs),
        _activations(run),
        _classes(evaluation),
        _confusions(evaluation),
        _commands(run, config),
        _settings(config),
        f"<footer>written by minideconv {escape(__version__)}</footer>",
    ]
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    title = escape(f"{_title(config)}: {run.path.name}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _title(config: dict[str, Any]) -> str:
    data = {"voc": "PASCAL VOC photographs", "shapes": "drawn shapes"}
    return f"{MODELS[config['model']].title} on {data.get(config['data'], config['data'])}"


def _head(run: RunFolder, config: dict[str, Any], epochs: list[dict[str, Any]]) -> str:
    told = TrainConfig.from_dict(config)
    plan, network = told.plan, escape(told.network.summary())
    total = sum(count for _, count, _ in plan)
    stages = " + ".join(
        f"{count} epochs of {'whole images' if name == 'whole' else f'stage {name}'}"
        for name, count, _ in plan
    )
    done = epochs[-1] if epochs else None
    facts = [
        ", ".join(filter(None, [network, f"input {told.input_size}×{told.input_size}"])),
        stages,
    ]
    if done is not None:
        facts.append(f"{done['step']:,} steps in {format_seconds(done['elapsed'])}")
    if done is None or done["epoch"] < total:
        facts.append(f"<b>still running: {done['epoch'] if done else 0} of {total} epochs</b>")
    return (
        f"<h1>{escape(_title(config))}</h1>\n"
        f'<p class="facts">{escape(run.path.name)} · {" · ".join(facts)}</p>'
    )


def _tiles(evaluation: dict[str, Any], epochs: list[dict[str, Any]]) -> str:
    """Make the headline: the four figures, training and validation images side by side."""
    validated = [line for line in epochs if "val" in line]
    sets = {name: evaluation[name] for name in _SETS if name in evaluation}
    if sets:
        counts = " and ".join(f"{sets[name]['images']} {_SETS[name]} images" for name in sets)
        note = (
            f"The network as it was after the last epoch ({evaluation['epoch']}), on {counts}, "
            "each at its own size; one confusion matrix over each set, void pixels not counted."
        )
    elif validated:
        sets = {"val": validated[-1]["val"]}
        note = f"After epoch {validated[-1]['epoch']}, on the validation images."
    else:
        return '<p class="empty">No validation yet.</p>'
    poor = [_SETS[part] for part, figures in sets.items() if figures.get("classes_in_truth", 2) < 2]
    if poor:
        note += (
            f" The true masks of the {' and '.join(poor)} images show one class alone, so the"
            " figures do not tell whether the network finds objects."
        )
    tiles = []
    for key, name in _FIGURES:
        pair = "".join(
            f'<div class="figure {part}">{_percent(figures[key])}<i>%</i>'
            f"<small>{_SETS[part]}</small></div>"
            for part, figures in sets.items()
        )
        tiles.append(
            f'<div class="tile"><div class="name">{name}</div><div class="pair">{pair}</div></div>'
        )
    if validated:
        best = max(validated, key=lambda line: line["val"]["mean_iou"] or 0.0)
        note += (
            f" The best validation IoU of the run was {_percent(best['val']['mean_iou'])} % after "
            f"epoch {best['epoch']}; that network is checkpoints/best.npz, and since it was chosen "
            "by these very images, its figure on them flatters it."
        )
    return f'<div class="tiles">{"".join(tiles)}</div>\n<p class="note">{note}</p>'


def _charts(metrics: list[dict[str, Any]], epochs: list[dict[str, Any]]) -> str:
    steps = [line for line in metrics if line["kind"] == "step"]
    validated = [line for line in epochs if "val" in line]
    marks, stage = [], None
    for line in metrics:
        if line["stage"] != stage and line["stage"] != "whole":
            # The line was written some steps into the stage; it begins where the last epoch ended.
            begun = max([e["step"] for e in epochs if e["stage"] == stage], default=0)
            marks.append((float(begun), f"stage {line['stage']}"))
        stage = line["stage"]

    def points(lines: list[dict[str, Any]], *keys: str) -> list[tuple[float, float]]:
        found = []
        for line in lines:
            value: Any = line
            for key in keys:
                value = value[key]
            if value is not None:
                found.append((float(line["step"]), float(value)))
        return found

    dots = len(epochs) <= 40
    loss = line_chart(
        "loss",
        [
            Line("training steps", points(steps, "loss"), "train faint"),
            Line("training epochs", points(epochs, "train", "loss"), "train", dots),
            Line("validation", points(validated, "val", "loss"), "val", dots),
        ],
        marks,
    )
    iou = line_chart(
        "mean IoU",
        [
            Line("training crops", points(epochs, "train", "mean_iou"), "train", dots),
            Line("validation", points(validated, "val", "mean_iou"), "val", dots),
        ],
        marks,
        top=1.0,
    )
    rate = line_chart("learning rate", [Line("lr", points(steps, "lr"), "plain")], marks)
    return (
        '<h2>Curves</h2>\n<p class="key"><b class="train">training</b> (on the augmented crops, '
        'while the weights move) · <b class="val">validation</b> (whole images)</p>\n'
        f'<div class="charts"><div><h3>loss</h3>{loss}</div><div><h3>mean IoU</h3>{iou}</div>'
        f"<div><h3>learning rate</h3>{rate}</div></div>"
    )


def _samples(run: RunFolder, evaluation: dict[str, Any]) -> str:
    """Image, truth, prediction and overlay of some images, validation first."""
    html = []
    for part in ("val", "train"):
        samples = evaluation.get("samples", {}).get(part, [])
        if not samples:
            continue
        cells = [
            f'<div class="head">{name}</div>'
            for name in ("image", "truth", "prediction", "prediction on the image")
        ]
        for sample in samples:
            cells.append(
                f'<div class="name">{escape(sample["name"])} · '
                f"{_percent(sample['pixel_accuracy'])} % of the pixels right</div>"
            )
            for kind in ("image", "truth", "prediction", "overlay"):
                path = run.pictures / f"{sample['file']}_{kind}.png"
                picture = _img(path, f"{kind} of {sample['name']}")
                cells.append(f"<figure>{picture}</figure>")
        html.append(
            f"<h2>{_SETS[part].capitalize()} images</h2>\n"
            f'<div class="samples">{"".join(cells)}</div>'
        )
    if not html:
        boards = sorted(run.pictures.glob("epoch_*.png"))
        if not boards:
            return ""
        note = "image, truth, prediction, prediction on the image"
        epoch = int(boards[-1].stem.removeprefix("epoch_"))
        return (
            f"<h2>Validation images after epoch {epoch}</h2>\n"
            f'<p class="note">{note}</p>{_img(boards[-1], note)}'
        )
    return "\n".join([html[0], _legend(evaluation["classes"]), *html[1:]])


def _learning(run: RunFolder, epochs: list[dict[str, Any]], columns: int = 8) -> str:
    """Lay out how the prediction of a few validation images changed while the network learned."""
    validated = [line["epoch"] for line in epochs if "val" in line]
    drawn = [n for n in validated if (run.pictures / f"learning_0_epoch_{n:03d}.png").exists()]
    shown = [drawn[i] for i in spread(len(drawn), columns)]
    rows = []
    for number in range(3):
        truth = run.pictures / f"learning_{number}_truth.png"
        cells = [run.pictures / f"learning_{number}_epoch_{epoch:03d}.png" for epoch in shown]
        if cells and truth.exists():
            rows += [_img(truth, "truth"), *(_img(path, path.stem) for path in cells)]
    if not rows:
        return ""
    head = ["truth", *(f"epoch {epoch}" for epoch in shown)]
    cells_html = [f'<div class="head">{text}</div>' for text in head]
    cells_html += [f"<figure>{row}</figure>" for row in rows]
    grid = f"grid-template-columns:repeat({len(head)},minmax(0,140px))"
    return (
        '<h2>How it learned</h2>\n<p class="note">The prediction of some validation images at '
        f"validations along the run.</p>\n"
        f'<div class="learning" style="{grid}">{"".join(cells_html)}</div>'
    )


def _legend(classes: Sequence[str]) -> str:
    palette = voc_palette()
    entries = [(name, palette[index]) for index, name in enumerate(classes)]
    entries.append(("void (not counted)", palette[255]))
    spans = [
        f'<span><i class="swatch" style="background:rgb({r},{g},{b})"></i>{escape(name)}</span>'
        for name, (r, g, b) in entries
    ]
    return f'<div class="legend">{"".join(spans)}</div>'


def _activations(run: RunFolder) -> str:
    """Make the strip of the paper's Figure 4."""
    index = run.pictures / "activations.json"
    if not index.exists():
        return ""
    figures = [
        f"<figure>{_img(run.pictures / entry['file'], entry['name'], 'pixels')}"
        f"<figcaption>{escape(entry['name'])}<br>{escape(entry['size'])}</figcaption></figure>"
        for entry in json.loads(index.read_text(encoding="utf-8"))
    ]
    return (
        "<h2>From coarse to fine</h2>\n"
        '<p class="note">One validation image (of a dozen, the one that is segmented best) on its '
        "way up through the deconvolution half: of each layer the most active channel, at its own "
        "resolution (dark is low, yellow is high). Unpooling puts values back where the maxima "
        "were, which leaves gaps; the deconvolutions behind it fill them in.</p>\n"
        f'<div class="strip">{"".join(figures)}</div>'
    )


def _classes(evaluation: dict[str, Any]) -> str:
    sets = [name for name in _SETS if name in evaluation]
    if not sets:
        return ""
    rows = []
    for index, name in enumerate(evaluation["classes"]):
        cells = "".join(_bar(part, evaluation[part]["class_iou"][index]) for part in sets)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    cells = "".join(_bar(part, evaluation[part]["mean_iou"]) for part in sets)
    rows.append(f'<tr class="mean"><td>mean</td>{cells}</tr>')
    heads = ""
    for part in sets:
        known = [value for value in evaluation[part]["class_iou"] if value is not None]
        text = f"{_SETS[part]}, {len(known)} classes"
        heads += f'<th colspan="2" class="{part}">{text}</th>'
    return (
        "<h2>IoU of each class, in per cent</h2>\n"
        '<p class="note">A dash: the class is in no mask of the set, and does not count in the '
        "mean.</p>\n"
        f'<table class="classes"><tr><th>class</th>{heads}</tr>{"".join(rows)}</table>'
    )


def _bar(part: str, value: float | None) -> str:
    width = 100 * (value or 0.0)
    return (
        f'<td class="number">{_percent(value)}</td>'
        f'<td class="bar {part}"><div style="width:{width:.1f}%"></div></td>'
    )


def _confusions(evaluation: dict[str, Any]) -> str:
    html = ""
    if "val" in evaluation:
        table = _confusion(evaluation["classes"], evaluation["val"]["confusion"])
        html += (
            "<h2>What is taken for what</h2>\n"
            '<p class="note">Validation images. Each row shows where the pixels of one true class '
            "went, in per cent of that row; the outlined diagonal is what is right.</p>\n" + table
        )
    if "train" in evaluation:
        table = _confusion(evaluation["classes"], evaluation["train"]["confusion"])
        html += f"<details><summary>The same for the training images</summary>{table}</details>"
    return html


def _confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    head = "".join(f"<th><span>{escape(name)}</span></th>" for name in classes)
    rows = []
    for i, (name, row) in enumerate(zip(classes, counts, strict=True)):
        total, cells = sum(row), []
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            text = f"{100 * share:.0f}" if share >= 0.005 else ""
            kinds = " ".join(["self"] * (i == j) + ["strong"] * (share > 0.55))
            hint = escape(f"{name} taken for {classes[j]}: {count:,} pixels")
            cells.append(
                f'<td class="{kinds}" title="{hint}" '
                f'style="background:rgba(var(--cell),{share:.3f})">{text}</td>'
            )
        kind = "" if total else ' class="absent" title="no pixel of this class"'
        rows.append(f"<tr{kind}><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table class="confusion"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _commands(run: RunFolder, config: dict[str, Any]) -> str:
    path = _shell(run.path)
    lines = [
        ("its figures again, on any list of images", f"python -m minideconv.evaluate {path}"),
        ("masks of your own photographs", f"python -m minideconv.predict {path} photo.jpg"),
        ("go on, if it was stopped", f"python -m minideconv.train --resume {path}"),
        (
            "the same run once more",
            f"python -m minideconv.train --config {_shell(run.config_toml)} --output-dir NEW",
        ),
    ]
    text = "\n".join(f"# {what}\n{command}" for what, command in lines)
    return f"<h2>What to do with it</h2>\n<pre>{escape(text)}</pre>"


def _shell(path: Path) -> str:
    return shlex.quote(str(path))


def _settings(config: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for name, setting in TrainConfig.settings(config["model"]).items():
        value = config.get(name)
        shown = "–" if value is None else str(value).lower() if value in (True, False) else value
        changed = ' class="changed"' if value != setting.default else ""
        row = f"<tr{changed}><td>{name.replace('_', ' ')}</td><td>{escape(str(shown))}</td></tr>"
        groups.setdefault(setting.group, []).append(row)
    tables = [
        f'<table><tr><th colspan="2">{escape(group)}</th></tr>{"".join(rows)}</table>'
        for group, rows in groups.items()
    ]
    return (
        "<h2>Settings</h2>\n"
        '<p class="note">Bold: not the default. config.toml beside this page holds them too.</p>\n'
        f'<div class="settings">{"".join(tables)}</div>'
    )


def _img(path: Path, description: str, kind: str = "") -> str:
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return f'<p class="empty">{escape(path.name)} is missing</p>'
    return (
        f'<img class="{kind}" alt="{escape(description)}" loading="lazy" '
        f'src="data:image/png;base64,{data}">'
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
