"""Settings of Sphinx: `sphinx-build -W --keep-going -b html docs docs/_build`; needs no network."""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

import rnnjax

sys.path.append(str(Path(__file__).parent))

import docstrings
import generated

project = "rnnjax"
version = release = rnnjax.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "jupyter_execute"]  # what a build leaves, the second by myst_nb
default_role = "py:obj"  # in docstrings: a link where there is such a name, otherwise code

html_theme = "sphinx_book_theme"
html_title = "rnnjax"
html_static_path = ["static"]
html_css_files = ["rnnjax.css"]
html_theme_options = {"show_toc_level": 2, "navbar_persistent": [], "footer_content_items": []}
html_show_sourcelink = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # so that a page cannot show what its code no longer does
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True  # else how it is cut into pieces depends on the machine

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Fields", "params_style")]
python_maximum_signature_line_length = 88


logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (_write_math, None), (_write_math, None))
    app.connect("source-read", generated.complete)
    # Before napoleon, which reads them as sections and fields.
    app.connect("autodoc-process-docstring", docstrings.process, priority=400)
    app.connect("autodoc-process-signature", docstrings.sign)


def _write_math(translator: Any, node: nodes.Element) -> None:
    """Writes an equation as MathML, which browsers draw by themselves."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    mathml = convert(node.astext(), display=display)
    if (
        "<mi>&</mi>" in mathml or "<mi>\\" in mathml
    ):  # the converter passes on what it does not know
        logger.warning("no MathML for %s", node.astext(), location=node)
    translator.body.append(mathml)
    raise nodes.SkipNode
