"""How Sphinx builds the site; ``scripts/docs`` calls it."""

from __future__ import annotations

import os
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.util.nodes import make_refnode

import rhoa
from rhoa import cli

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "rhoa"
release = version = rhoa.__version__
html_title = f"rhoa {version}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = True
# Types of other packages and aliases in signatures are to be read there: without a network there is
# nothing to link them to. Whatever prose refers to must exist.
nitpick_ignore_regex = [("py:class", r"(?!rhoa\.).*"), ("py:obj", r"(dataclasses|warnings)\..*")]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]

default_role = "py:obj"
highlight_language = "none"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_sidebars = {"tutorial": [], "commands": [], "architecture": []}  # they have no pages below
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "footer_start": [],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_static_path = ["_static"]
html_css_files = ["rhoa.css"]


class Help(Directive):
    """What ``rhoa VERB --help`` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The text of the verb that is named."""
        verb = self.arguments[0]
        shown = StringIO()
        os.environ["COLUMNS"] = "88"
        with redirect_stdout(shown), suppress(SystemExit):
            cli.main([verb, "--help"])
        text = shown.getvalue()
        return [nodes.literal_block(text, text, language="text")]


def skip(_app: Sphinx, _what: str, _name: str, member: object, *_: object) -> bool | None:
    """Leave out what a named tuple says of its fields by itself."""
    alias = str(getattr(member, "__doc__", "")).startswith("Alias for field number")
    return True if alias else None


def shorter(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.TextElement
) -> nodes.reference | None:
    """Resolve what docstrings call by a name shorter, or longer, than that on the API pages.

    ``Volume`` is the one documented name that ends so; ``Volume.affine`` and other fields that have
    no entry of their own are in that of their class; ``rhoa ctap`` is a command.
    """
    wanted, page = node.get("reftarget", ""), env.docname
    if wanted.startswith("rhoa "):
        place = nodes.make_id(wanted)
        return make_refnode(app.builder, page, "commands", place, shown)
    known = env.domains.python_domain.objects
    while wanted and wanted != "rhoa":
        ends = f".{wanted.removeprefix('rhoa.')}"
        found = {name: entry for name, entry in known.items() if name.endswith(ends)}
        name = min(found, key=lambda one: one.count("."), default="")
        places = {(entry.docname, entry.node_id) for entry in found.values()}
        if len(places) == 1 or name == f"rhoa{ends}":
            entry = found[name]
            return make_refnode(app.builder, page, entry.docname, entry.node_id, shown, name)
        wanted = wanted.rpartition(".")[0]
    return None


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_directive("rhoa-help", Help)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", shorter)
