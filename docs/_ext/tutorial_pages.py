"""The tutorials on the site: the notebooks with links for it, and the list of them with pictures.

A notebook is shown as it was executed if ``MINIDECONV_EXECUTED_TUTORIALS`` names a folder that
holds it; otherwise Sphinx executes it, and the list has no pictures.
"""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import site_links
from pages import DOCS, ROOT, write

__all__ = ["write_all"]

# Every notebook, in its group, with what it is about. The numbers are those of the files.
GROUPS: dict[str, dict[str, str]] = {
    "Convolution and its transpose": {
        "01": "One window, nine products, one sum.",
        "02": "One ruler for stride, padding, dilation, channels and groups.",
        "03": "A convolution is a matrix that holds the same nine numbers again and again.",
        "04": "The transpose of that matrix lays down stamps; it is no inverse.",
        "05": "Three routes to the same numbers, and two matrices to choose from.",
        "06": "Where the checkerboard comes from, and what helps.",
    },
    "Learning": {
        "07": "Forward and backward of a convolution are one number, read three ways.",
        "08": "Values say what, switches say where.",
        "09": "Batch normalisation and its backward, line by line.",
        "10": "What `loss.backward()` does, in 100 lines.",
        "11": "Tests that state what must hold for every input, and what they catch.",
    },
    "DeconvNet": {
        "12": "The network of the paper, assembled, trained, and taken apart.",
        "13": "From scores to masks: FCN and DeconvNet, proposals, an ensemble, a CRF.",
        "14": "What the units inside look for.",
    },
    "Further": {
        "15": "The other deconvolution: a picture as a sum of few kernels.",
        "16": "The same lines on a graphics processor.",
    },
}
_DOWNLOADS = (
    "\n\nDownload {{download}}`this notebook <../../tutorials/{0}.ipynb>`,"
    " or {{download}}`its script <../../tutorials/{0}.py>`.\n"
)


def write_all() -> None:
    """Write ``tutorials/*.ipynb`` and the pieces of ``tutorials/index.md``."""
    folder = os.environ.get("MINIDECONV_EXECUTED_TUTORIALS")
    titles, pictures = {}, {}
    for notebook in sorted((ROOT / "tutorials").glob("*.ipynb")):
        executed = Path(folder) / notebook.name if folder else notebook
        content = json.loads((executed if executed.exists() else notebook).read_text("utf-8"))
        titles[notebook.stem] = _text(content["cells"][0]).lstrip().splitlines()[0].lstrip("# ")
        if found := _first_picture(content):
            pictures[notebook.stem] = _write_picture(notebook.stem, *found)
        page = json.dumps(_page(content, notebook.stem), indent=1)
        write(DOCS / "tutorials" / notebook.name, page)
    write(DOCS / "generated" / "tutorials.md", _cards(titles, pictures))


def _text(cell: dict[str, Any]) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def _page(content: dict[str, Any], stem: str) -> dict[str, Any]:
    """Return a notebook with the site's links, downloads below its title, its first cell folded."""
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = site_links.for_notebook(_text(cell))
    title, *rest = content["cells"][0]["source"].lstrip().split("\n", 1)
    content["cells"][0]["source"] = title + _DOWNLOADS.format(stem) + "".join(rest)
    first = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
    first["metadata"] = {
        "tags": ["hide-input"],
        "mystnb": {"code_prompt_show": "Show the imports", "code_prompt_hide": "Hide the imports"},
    }
    return content


def _first_picture(content: dict[str, Any]) -> tuple[str, bytes] | None:
    """Return ending and bytes of the first figure that `minideconv.visualize.show` displayed."""
    for cell in content["cells"]:
        for output in cell.get("outputs", ()):
            shown = "".join(output.get("data", {}).get("text/html", ""))
            if found := re.search(r'src="data:image/(png|svg)[^,]*;base64,([^"]+)"', shown):
                return found[1], base64.b64decode(found[2])
    return None


def _write_picture(stem: str, ending: str, data: bytes) -> str:
    path = DOCS / "generated" / f"tutorial-{stem[:2]}.{ending}"
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
    return path.name


def _cards(titles: dict[str, str], pictures: dict[str, str]) -> str:
    """Return the list of the tutorials: a heading and a grid of cards for each group."""
    lines = []
    by_number = {stem[:2]: stem for stem in titles}
    for group, about in GROUPS.items():
        lines += [f"## {group}", "", "::::{grid} 1 2 2 3", ":gutter: 3", ""]
        for number, sentence in about.items():
            if number not in by_number:
                continue
            stem = by_number[number]
            lines += [f":::{{grid-item-card}} {int(number)}. {titles[stem]}"]
            lines += [f":link: {stem}", ":link-type: doc", ":class-card: tutorial-card"]
            if stem in pictures:  # what it shows is described in the notebook
                lines += [f":img-top: ../generated/{pictures[stem]}", ":img-alt:"]
            lines += ["", sentence, ":::", ""]
        lines += ["::::", ""]
    known = {number for about in GROUPS.values() for number in about}
    if unknown := sorted(by_number.keys() - known):
        raise ValueError(f"{Path(__file__).name} puts no group to tutorials {', '.join(unknown)}")
    lines += ["```{toctree}", ":hidden:", ""]
    lines += [f"{int(stem[:2])}. {title} <{stem}>" for stem, title in sorted(titles.items())]
    lines += ["```", ""]
    return "\n".join(lines)
