"""Sphinx configuration; `make docs` builds with warnings as errors."""

import sk_ssimae

project = "sk_ssimae"
author = "The sk_ssimae developers"
copyright = "2026, the sk_ssimae developers"
release = version = sk_ssimae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "api/generated",
    "doc_module": ("sk_ssimae",),
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "plot_gallery": True,
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
    app.connect("config-inited", _ignore_missing_pictures_without_gallery)


def _ignore_missing_pictures_without_gallery(app, config):
    """Ignore missing gallery pictures: `-D sphinx_gallery_conf.plot_gallery=0` draws none."""
    if config.sphinx_gallery_conf["plot_gallery"] in ("0", "False"):
        config.suppress_warnings.append("image.not_readable")
