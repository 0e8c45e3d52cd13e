"""What stands before every handler beside web/bodies.py: headers that browsers heed."""

from typing import Any

from faketagger.serving.web.bodies import App, Message

_SECURE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class SecureHeaders:
    """Adds to every answer the headers that keep browsers to this site; what an answer sets itself stays."""

    def __init__(self, app: App):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                there = {name.lower() for name, _ in headers}
                headers += [
                    (name.encode(), value.encode()) for name, value in _SECURE.items() if name.encode() not in there
                ]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, with_headers)
