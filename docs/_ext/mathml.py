"""Formulas as MathML, made while building: they are read without a network, and by screen readers.

MathJax would be fetched by the reader's browser, or be 2 MB of the site, and runs a script on every
page. MathML is part of HTML; all current browsers draw it. latex2mathml converts every formula here
(docutils' own converter does not know \\big and \\dots).
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

__all__ = ["mathml", "setup"]


def mathml(formula: str, *, display: bool = False) -> str:
    """Return a formula of LaTeX as a ``<math>`` element."""
    formula = formula.strip()
    if display and (r"\\" in formula or "&" in formula) and not formula.startswith(r"\begin"):
        formula = rf"\begin{{aligned}}{formula}\end{{aligned}}"
    return convert(re.sub(r"\s+", " ", formula), display="block" if display else "inline")


def _visit_inline(writer: Any, node: Any) -> None:
    writer.body.append(f'<span class="math">{mathml(node.astext())}</span>')
    raise nodes.SkipNode


def _visit_display(writer: Any, node: Any) -> None:
    writer.body.append(
        f'<div class="math" tabindex="0" role="group" aria-label="Formula">'
        f"{mathml(node.astext(), display=True)}</div>\n"
    )
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Offer the renderer under the name that conf.py's `html_math_renderer` chooses."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_display, None))
    return {"parallel_read_safe": True}
