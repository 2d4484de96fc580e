"""Pages with what was measured: tables and pictures of what is in benchmarks/results.

- ``generated/ablations*``: ablations.json;
- ``generated/compare-drawn.md``: compare_drawn.json, what comparing on drawn pictures gave;
- ``generated/few-labels-*``: few_labels.json;
- ``generated/inference-plan.md``: inference.json, the latency of one image;
- ``generated/inside-vgg16.md``: images/inside-vgg16.json, of the picture beside it;
- ``generated/photographs-*``: the rows of `benchmarks.voc_recipe`, their results and commands, and
  the colours of VOC's classes;
- ``generated/proposals*``: what networks gain by proposals, from results/proposals;
- ``generated/strided-results.md``: strided.json, beside PyTorch and others;
- ``generated/sparse-*`` and ``generated/hierarchy-*``: sparse coding.

Where nothing is stored, the page says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import draw_hierarchy
import draw_sparse_coding
from pages import DOCS, ROOT, write

from benchmarks import (
    ensembles,
    few_labels,
    hierarchy,
    inference,
    inside,
    proposals,
    sparse_coding,
    sparse_restoration,
    tables,
    voc_recipe,
    voc_rows,
)
from minideconv.ablate.picture import draw
from minideconv.ablate.results import markdown
from minideconv.compare.results import markdown as comparison_tables
from minideconv.data.classes import VOC
from minideconv.few_labels.picture import draw as draw_few_labels
from minideconv.tasks.segmentation.report import legend

__all__ = ["write_all"]

RESULTS = ROOT / "benchmarks" / "results"
NOTHING = "No results are stored yet.\n"


def stored(path: Path) -> dict[str, Any]:
    """Return what is in a results file; nothing if there is none."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def shown(found: dict[str, Any], table: Callable[[dict[str, Any]], str]) -> str:
    """Return the table of results, or that there are none."""
    return table(found) if found else NOTHING


def write_all() -> None:
    """Write all of these pages."""
    write_ablations()
    write_drawn_comparison()
    write_few_labels()
    write_inference()
    write_units()
    write_photographs()
    write_proposals()
    write_sparse_coding()
    write_strided()


def write_ablations() -> None:
    """Write the table and the picture of the ablations."""
    nothing = {"metric": "mean IoU", "seeds": 0, "results": []}
    results = stored(RESULTS / "ablations.json") or nothing
    write(DOCS / "generated" / "ablations-table.md", markdown(results))
    write(DOCS / "generated" / "ablations.svg", draw(results))


def write_drawn_comparison() -> None:
    """Write the tables of a comparison on drawn pictures."""
    found = stored(RESULTS / "compare_drawn.json")
    write(DOCS / "generated" / "compare-drawn.md", shown(found, without_chapters))


def write_inference() -> None:
    """Write the tables of inference plans beside others."""
    found = stored(RESULTS / "inference.json")
    write(DOCS / "generated" / "inference-plan.md", shown(found, inference.tables))


def write_few_labels() -> None:
    """Write the tables and pictures of the stored runs of `minideconv.few_labels`."""
    results = few_labels.stored()
    for name in few_labels.SETS:
        found = results.get(name, {})
        text = shown(found, partial(few_labels.page, name))
        write(DOCS / "generated" / f"few-labels-{name}.md", text)
        if found:
            write(DOCS / "generated" / f"few-labels-{name}.svg", draw_few_labels(found))


def write_units() -> None:
    """Write the table about the stored picture of VGG-16's units."""
    found = stored(DOCS / "images" / "inside-vgg16.json")
    write(DOCS / "generated" / "inside-vgg16.md", shown(found, inside.table))


def write_photographs() -> None:
    """Write the tables of the comparison on photographs, and the commands that make them."""
    results = stored(voc_rows.RESULTS)
    for group in voc_recipe.GROUPS:
        names = [name for name, row in voc_recipe.ROWS.items() if row.group == group]
        text = voc_rows.listing(voc_recipe.DOCUMENTED, names)
        write(DOCS / "generated" / f"photographs-{group}-commands.txt", text)
        text = voc_rows.table(results, group) if set(names) & set(results) else NOTHING
        write(DOCS / "generated" / f"photographs-{group}-table.md", text)
    for name in ("comparison", "comparison-paper"):
        found = results.get(name, {}).get("metrics", {})
        write(DOCS / "generated" / f"photographs-{name}.md", shown(found, without_chapters))
    found = stored(ensembles.RESULTS)
    settings = shown(found, lambda f: ensembles.table(f) + f"\nMade on {f['date']}.\n")
    write(DOCS / "generated" / "photographs-ensembles.md", settings)
    write(DOCS / "generated" / "voc-legend.html", legend(VOC))
    masks = stored(DOCS / "images" / "photographs-masks.json")
    write(DOCS / "generated" / "photographs-masks.md", gallery_table(masks))


def without_chapters(found: dict[str, Any]) -> str:
    """Return a comparison's tables as Markdown that stands inside a chapter."""
    _, _, text = comparison_tables(found).partition("\n\n")
    return re.sub("^#+ (.*)$", r"**\1**", text, flags=re.MULTILINE)


def gallery_table(about: dict[str, Any]) -> str:
    """Return the lines of a gallery: each image's own mean IoU, and what the last row saw."""
    *_, last = about["columns"]
    heads = ["photograph", *about["columns"], f"seen by {last}"]
    rows = [heads, ["---", *["---:"] * len(about["columns"]), "---"]]
    for image in about["images"]:
        ious = [f"{100 * image['rows'][name]['mean_iou']:.0f}" for name in about["columns"]]
        seen = ", ".join(image["rows"][last]["classes"]) or "nothing"
        rows.append([image["image"], *ious, seen])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write_proposals() -> None:
    """Write a table and a picture for each network of which `benchmarks.proposals` is stored."""
    texts = []
    for path in sorted((RESULTS / "proposals").glob("*.json")):
        found = stored(path)
        picture = f"proposals-{path.stem}.png"
        proposals.plot(found, DOCS / "generated" / picture)
        texts.append(
            f"**{found['network']}**, {found['images']} images of {found['data']},"
            f" {found['date']}:\n\n{proposals.table(found)}\n"
            f"![Mean IoU against the number of windows](/generated/{picture})\n"
        )
    write(DOCS / "generated" / "proposals.md", "\n".join(texts) or NOTHING)


def write_sparse_coding() -> None:
    """Write the tables that were measured, and pictures made with the stored dictionary."""
    for name, program in {"speed": sparse_coding, "restoration": sparse_restoration}.items():
        write(
            DOCS / "generated" / f"sparse-{name}.md", shown(stored(program.RESULTS), program.table)
        )
    write(DOCS / "generated" / "sparse-pictures.md", draw_sparse_coding.markdown())
    write(
        DOCS / "generated" / "hierarchy-table.md", shown(stored(hierarchy.RESULTS), hierarchy.table)
    )
    write(DOCS / "generated" / "hierarchy-pictures.md", draw_hierarchy.markdown())
    for name, picture in {**draw_sparse_coding.draw(), **draw_hierarchy.draw()}.items():
        path = DOCS / "generated" / name
        if not path.exists() or path.read_bytes() != picture:
            path.write_bytes(picture)


def write_strided() -> None:
    """Write what `benchmarks cpu` measured of strided convolutions, networks and other loops."""
    found = stored(RESULTS / "strided.json")
    write(DOCS / "generated" / "strided-results.md", shown(found, tables.body))
