"""Errors of requests."""

from collections.abc import Mapping


class RequestError(Exception):
    """A request that cannot be answered, with the status and the text of the answer.

    Parameters
    ----------
    status : int
        Status of HTTP.
    text : str
        Reason and remedy.
    headers : mapping of str to str, optional
        Further headers of the answer.
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, dict(headers or {})
