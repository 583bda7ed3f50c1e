"""Sphinx's settings for the site of each language; scripts/site says what its pages are made of."""

import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))[
    "project"
]

project = _project["name"]
version = release = _project["version"]
copyright = f"The {project} authors"
html_title = f"{project} {version}"

extensions = ["myst_parser", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
root_doc = "index"

# Links name headings as GitHub does.
myst_heading_anchors = 4

# These pages write a quotation mark or two dashes where they mean just that.
smartquotes = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_copy_source = html_show_sphinx = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
