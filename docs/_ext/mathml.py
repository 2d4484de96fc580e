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

# Browsers draw letters with a `mathvariant` in italics, each as a variable of its own.
_RUN = re.compile(r'(?:<m[in] mathvariant="(?P<kind>monospace|sans-serif|normal)">[^<]+</m[in]>)+')
# In most fonts a prime stands high by itself.
_PRIME = re.compile(r"<msup>(<mi>[^<]*</mi>)<mi>(&#x0203[2-4];)</mi></msup>")
_PRIME_AND_INDEX = re.compile(
    r"<msubsup>(<mi>[^<]*</mi>)(<m[in]>[^<]*</m[in]>)<mi>(&#x0203[2-4];)</mi></msubsup>"
)


def mathml(formula: str, *, display: bool = False) -> str:
    """Return a formula of LaTeX as a ``<math>`` element; ValueError if a command is unknown."""
    formula = re.sub(r"\s+", " ", formula.strip())
    formula = re.sub(r"\\(begin|end)\{(aligned|gathered)\}", r"\\\1{align*}", formula)
    if display and r"\\" in formula and r"\begin" not in formula:
        formula = rf"\begin{{align*}}{formula}\end{{align*}}"
    made = convert(formula, display="block" if display else "inline")
    if unknown := re.search(r"\\[^<]*", re.sub(r"<annotation.*?</annotation>", "", made)):
        # It would stand on the page as it is written.
        raise ValueError(f"formula {formula!r}: {unknown[0]!r} is no command that is known")
    made = _RUN.sub(_word, made)
    made = _PRIME.sub(r"<mrow>\1<mo lspace='0' rspace='0'>\2</mo></mrow>", made)
    return _PRIME_AND_INDEX.sub(r"<mrow><msub>\1\2</msub><mo lspace='0'>\3</mo></mrow>", made)


def _word(match: re.Match[str]) -> str:
    """Return letters of one kind as one word."""
    return f'<mtext class="{match["kind"]}">{re.sub("<[^>]*>", "", match[0])}</mtext>'


def _visit_inline(writer: Any, node: Any) -> None:
    writer.body.append(f'<span class="math">{mathml(node.astext())}</span>')
    raise nodes.SkipNode


def _visit_display(writer: Any, node: Any) -> None:
    writer.body.append(f'<div class="math">{mathml(node.astext(), display=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Offer the renderer under the name that conf.py's `html_math_renderer` chooses."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_display, None))
    return {"parallel_read_safe": True}
