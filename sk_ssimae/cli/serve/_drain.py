"""Receive the rest of a request before it is answered."""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = 60.0  # As long as an image may take to arrive.


class Drain:
    """ASGI application that lets another one answer early, as an error does.

    Many clients read nothing before they have sent everything. If the connection were closed
    meanwhile, they would see a reset connection instead of the answer.

    Parameters
    ----------
    application : ASGI application
        It answers the requests.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        complete = False

        async def receive_part() -> Message:
            nonlocal complete
            message = await receive()
            complete = not message.get("more_body", False)  # Also if the client has gone.
            return message

        async def send_when_complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                with suppress(TimeoutError):  # A client that never ends gets its answer now.
                    async with asyncio.timeout(_SECONDS):
                        while not complete:
                            await receive_part()
            await send(message)

        await self._application(scope, receive_part, send_when_complete)
