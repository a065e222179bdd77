"""The page on which an image can be dropped: one file that loads nothing."""

import html
from string import Template
from typing import Any

from sk_ssimae.cli._page import digest, read_part


def render(facts: dict[str, Any]) -> str:
    """Render the page, which shows facts about the model."""
    style, script = read_part("serve.css"), read_part("serve.js")
    return Template(read_part("serve.html")).substitute(
        {name: html.escape(str(fact)) for name, fact in facts.items()}
        | {"threshold": f"{facts['threshold']:.4g}"},
        style=style,
        script=script,
        style_hash=digest(style),
        script_hash=digest(script),
    )
