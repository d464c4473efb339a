"""Settings of Sphinx for this documentation; ``make docs`` builds it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "backends"), str(HERE.parent / "benchmarks")]

import oamip_model  # noqa: E402

project = "oamip_model"
author = "the oamip_model project"
release = version = oamip_model.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["build", "tutorials/*.py", "tutorials/*.ipynb", "tutorials/sg_execution_times.rst"]
smartquotes = False  # flags keep their two dashes, and text in code its quotes
nitpicky = False  # types of torch, numpy and pyomo have no inventory without a network

# Pages are read on the hosting of the repository too, so they are plain Markdown with HTML anchors.
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["config.cache"]

templates_path = ["_templates"]
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
add_module_names = False

sphinx_gallery_conf = {
    "examples_dirs": [str(HERE.parent / "examples" / "tutorials")],
    "gallery_dirs": ["tutorials"],
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "min_reported_time": 10_000,
    "remove_config_comments": True,
    "show_memory": False,
    "abort_on_example_error": True,
    "doc_module": ("oamip_model",),
}

html_theme = "pydata_sphinx_theme"
html_title = f"oamip_model {release}"
html_static_path = ["_static"]
html_css_files = ["oamip.css"]
html_show_sourcelink = False
html_sidebars = {"index": []}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
copyright = "the oamip_model project, MIT licence"

LABELS = frozenset(re.findall(r'<a id="([\w-]+)"></a>', (HERE / "explanation" / "mathematics.md").read_text()))


def _anchors(text: str) -> str:
    """Markdown in which HTML anchors are targets that MyST can resolve."""
    text = re.sub(r'<a id="([\w-]+)"></a>\*\*([^*]+)\*\*', r"[**\2**]{#\1}", text)
    text = re.sub(r'^<a id="([\w-]+)"></a>\s*$', r"(\1)=", text, flags=re.MULTILINE)
    text = re.sub(r'<a id="([\w-]+)"></a>', r"[]{#\1}", text)

    def resolved(found: re.Match[str]) -> str:
        return f"](#{found[1]})" if found[1] in LABELS else found[0]

    return re.sub(r"\]\([\w./-]*mathematics\.md#([\w-]+)\)", resolved, text)


def _picture(found: re.Match[str]) -> str:
    """A flowchart of subgraphs in a row, each a chain of names, as boxes that need no script to be drawn."""
    boxes = []
    for title, chain in re.findall(r"subgraph \w+ \[(.+?)\]\n(.*?)\n\s*end", found[1], flags=re.DOTALL):
        names = "<i>→</i>".join(f"<code>{name}</code>" for name in re.findall(r"\w+", chain))
        boxes.append(f"<div><b>{title}</b><p>{names}</p></div>")
    return '<div class="flowchart">' + '<i class="step">↓</i>'.join(boxes) + "</div>\n"


TOP = {"project/readme": "README.md", "project/contributing": "CONTRIBUTING.md", "project/changelog": "CHANGELOG.md"}
"""Pages that are files at the top of the repository, where links are written from."""
PLACES = {**{name: f"/{page}.md" for page, name in TOP.items()}, "docs/": "/"}


def _placed(text: str, top: bool) -> str:
    """Markdown whose links to, and in, files at the top of the repository lead to their pages."""
    for name, page in PLACES.items():
        prefixes = [name] if top else [f"../../{name}", f"../{name}"]
        for prefix in prefixes if name != "docs/" or top else []:
            text = text.replace(f"]({prefix}", f"]({page}")
    return re.sub(r"\[(LICENSE|CITATION\.cff)\]\(\1\)", r"`\1`", text)


def _read(app: Any, docname: str, source: list[str]) -> None:
    """Change what Sphinx reads of a Markdown page."""
    if docname in TOP:
        source[0] = (HERE.parent / TOP[docname]).read_text(encoding="utf-8")
    if app.env.doc2path(docname, base=False).suffix == ".md":
        text = _placed(_anchors(source[0]), docname in TOP)
        source[0] = re.sub(r"```mermaid\n(.*?)```\n", _picture, text, flags=re.DOTALL)


def _cite(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let a docstring's citations of the mathematics be links."""
    lines[:] = [re.sub(r"mathematics[:]([\w-]+)", r":ref:`\1 <\1>`", line) for line in lines]


def setup(app: Any) -> None:
    """Let Sphinx read the pages' HTML anchors, and link what docstrings cite."""
    app.connect("autodoc-process-docstring", _cite)
    app.connect("source-read", _read)
