"""Texts for people: counts, and errors in one line, without control characters."""

import errno
import os
import re
from typing import Any

# An index into X means nothing to users of the command line, who gave folders.
_INDEX = re.compile(r"X\[\d+\] \(('.*?'|\".*?\")\)")
# They would control a terminal, end the line, or change the direction of the text after them; and
# surrogates, which stand for the bytes of file names that are not UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CHECK_PERMISSIONS = "Check the permissions of the file and its folder, or choose another path."
_FREE_SPACE = "Free some space, or choose a path on another disk."
_REMEDIES = {
    errno.EACCES: _CHECK_PERMISSIONS,
    errno.EPERM: _CHECK_PERMISSIONS,
    errno.EROFS: "Choose a path on a disk that can be written to.",
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: _FREE_SPACE,
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: a file is not a folder.",
    errno.EISDIR: "Choose the path of a file.",
    errno.EEXIST: "Choose another path.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "Check where its links lead.",
    errno.EMFILE: "Close other programs, or raise the limit of open files.",
    errno.ENFILE: "Close other programs, or raise the limit of open files.",
}
_OTHER_REMEDY = "Check the path and its disk."


def count(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(error: Any) -> str:
    """Return the text of an error in one printable line, with files named as the user did.

    Errors of the operating system also get a remedy.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.errno is not None and text == os.strerror(error.errno):
            text += f". {_REMEDIES.get(error.errno, _OTHER_REMEDY)}"
        if error.filename is not None:
            text = f"{str(error.filename)!r}: {text}"
    return printable(_INDEX.sub(r"\1", text))


def printable(text: str) -> str:
    r"""Replace control characters by their escape sequences: names of files may contain any.

    Examples
    --------
    >>> from sk_ssimae.cli._text import printable
    >>> print(printable("\x1b[31m red"))
    \x1b[31m red
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
