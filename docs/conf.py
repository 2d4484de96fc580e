"""Sphinx configuration. Build: ``python -m sphinx -W -b html docs docs/_build/html``.

Nothing is fetched while building, and nothing when the pages are read: formulas are MathML
(docs/_ext/mathml.py), fonts and scripts are in the folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "_ext")]
# A notebook executed here runs in a process of its own, which must find this checkout too.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ.pop("MPLBACKEND", None)

import minideconv  # noqa: E402

project = "minideconv"
author = "The minideconv authors"
copyright = "2026, The minideconv authors"
version = release = minideconv.__version__

extensions = [
    # Ours, in docs/_ext: API pages, --help pages and notebooks; formulas; links; pages with code.
    "generate",
    "mathml",
    "site_links",
    "source_pages",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_ext", "generated"]  # generated: pieces that pages include
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext", ".ipynb": "myst-nb"}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "amsmath", "attrs_inline"]
myst_heading_anchors = 3

# CI executes the notebooks first and shows them as they came out; otherwise Sphinx executes them.
nb_execution_mode = "off" if os.environ.get("MINIDECONV_EXECUTED_TUTORIALS") else "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's Parameters have it in words
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "code"  # a name in single backquotes is code, not a link that may not resolve

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "minideconv"
html_static_path = ["_static"]
html_extra_path = ["generated/site"]  # whole pages of their own
html_css_files = ["minideconv.css"]
html_js_files = ["sections.js"]
html_show_sourcelink = False
html_sidebars = {"index": [], "play": [], "install": [], "source/**": [], "_modules/**": []}
html_theme_options = {
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
