"""Write formulas as MathML, which browsers render without a script, a font or a network.

The converter is the one that docutils uses for its own HTML. It knows a subset of LaTeX; a command
that it does not know ends the build. Formulas in docstrings pass through it as well.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import SphinxError
from sphinx.util.math import get_node_equation_number

# Below the letter, where docutils sets it, the subscript would be wrong.
SUBSCRIPT_OF_ACCENT = re.compile(r"\\(bar|hat|tilde|vec)\s*(\w|\{[^{}]*\})\s*\}?\s*_")


class FormulaError(SphinxError):
    category = "Formula error"


def setup(app):
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_visit_math, None), block_renderers=(_visit_math_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def to_mathml(latex, *, as_block=False):
    """Return a <math> element; raise `FormulaError` for commands that it does not know."""
    if found := SUBSCRIPT_OF_ACCENT.search(latex):
        raise FormulaError(f"{found[0]!r} must have no subscript: use ^{{(i)}}.")
    if r"\overline" in latex:
        raise FormulaError(r"\overline does not stretch in browsers: use \langle and \rangle.")
    try:
        mathml = tex2mathml(latex, as_block=as_block)
    except MathError as error:
        raise FormulaError(f"{latex!r} cannot be written as MathML: {error}") from error
    # They would stretch to the height of the whole formula, each in its own way.
    return re.sub(r"<mo[^>]*>([‖⟨⟩])</mo>", r'<mo stretchy="false">\1</mo>', mathml)


def _visit_math(self, node):
    self.body.append(_convert(node, node.astext(), as_block=False))
    raise nodes.SkipNode


def _visit_math_block(self, node):
    """Write one line per paragraph of the directive, and the number of a labelled equation."""
    self.body.append(self.starttag(node, "div", CLASS="math") + "<div>")
    for line in filter(str.strip, node.astext().split("\n\n")):
        self.body.append(_convert(node, line, as_block=True))
    self.body.append("</div>")
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _convert(node, latex, *, as_block):
    try:
        return to_mathml(latex, as_block=as_block)
    except FormulaError as error:
        where = next((n for n in _ancestors(node) if n.source), node)
        raise FormulaError(f"{where.source}:{where.line}: {error}") from error


def _ancestors(node):
    while node is not None:
        yield node
        node = node.parent
