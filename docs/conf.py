"""Sphinx configuration; `make docs` builds with warnings as errors."""

import sys
from pathlib import Path

import sk_ssimae

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "sk_ssimae"
author = "The sk_ssimae developers"
copyright = "2026, the sk_ssimae developers"
release = version = sk_ssimae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
# The page of execution times loads scripts from other servers.
exclude_patterns = ["_build", "sg_execution_times.rst", "auto_examples/sg_execution_times.rst"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "api/generated",
    "doc_module": ("sk_ssimae",),
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "plot_gallery": True,
    "capture_repr": (),  # Displays and axes have no text worth showing; figures are captured.
    "download_all_examples": False,
    "show_memory": False,
}

autosummary_generate = True
autodoc_typehints = "none"  # The docstrings are more precise: shapes, ranges, units.
numpydoc_show_class_members = True
numpydoc_show_inherited_class_members = True
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "sk_ssimae"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
# No sidebar of section navigation for sections that are a single page.
html_sidebars = {page: [] for page in ("index", "install", "quickstart")}
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]
toc_object_entries_show_parents = "hide"


def setup(app):
    app.connect("config-inited", _accept_builds_without_gallery)


def _accept_builds_without_gallery(app, config):
    """Do not warn of missing pictures after `-D plot_gallery=0`, of which Sphinx passes a text.

    `-D sphinx_gallery_conf.plot_gallery=0` does the same.
    """
    given = (config.plot_gallery, config.sphinx_gallery_conf["plot_gallery"])
    config.plot_gallery = not {str(value) for value in given} & {"0", "False"}
    if not config.plot_gallery:
        config.suppress_warnings.append("image.not_readable")
