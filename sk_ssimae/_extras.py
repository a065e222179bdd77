"""The command that installs an extra, for errors about packages that are missing."""


def install_hint(extra: str) -> str:
    """Return a sentence with the command of README.md that installs an extra.

    Examples
    --------
    >>> from sk_ssimae._extras import install_hint
    >>> print(install_hint("plot"))
    Run pip install ".[plot]" in a clone of the repository.
    """
    return f'Run pip install ".[{extra}]" in a clone of the repository.'
