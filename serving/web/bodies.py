"""Bodies that are too large, or do not come."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


async def gone(request: Request, error: Exception) -> Response:
    """What is answered, to nobody, where a client has gone while it sent: no failure of the server's."""
    return Response(status_code=400)


class LimitedBodies:
    """Ends calls whose body is larger than allowed, by its header or as it comes, or does not come."""

    def __init__(self, app: App, most: int | Callable[[Any], int], seconds: float):
        """Allows bodies of `most` bytes, or as many as it says of a call's scope, that arrive within `seconds`."""
        self._app, self._seconds = app, seconds
        self._most = most if callable(most) else lambda scope: most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        left = most = self._most(scope)
        deadline = anyio.current_time() + self._seconds
        whole = False

        async def limited() -> Message:
            nonlocal left, whole
            if whole:  # What comes now is only that the client has gone.
                return await receive()
            if not declared.isdigit() or int(declared) > most:
                raise HTTPException(413, f"no more than {most:,} bytes are taken")
            with anyio.move_on_after(deadline - anyio.current_time()):
                message = await receive()
                left -= len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if left < 0:
                    raise HTTPException(413, f"no more than {most:,} bytes are taken")
                return message
            raise HTTPException(408, f"the request did not arrive within {self._seconds:g} s")

        await self._app(scope, limited, send)
