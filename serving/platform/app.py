"""The web application: the pages, the interface for programs and C2PA's, around one Service."""

import collections
import logging

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from faketagger.serving.platform import api, c2pa, guards, pages
from faketagger.serving.platform.service import Service
from faketagger.serving.web import bodies

# What takes pictures, from who has a token or a session; all else, such as logging in, takes little.
_PICTURES = {"/", "/verify", "/api/v1/uploads", "/api/v1/verify", "/c2pa/matches/byContent"}
_FORM_BYTES = 64 * 1024  # What a form has beside its file.
_LOOKERS = 16
_log = logging.getLogger("faketagger.platform")


def make_app(service: Service, workers: int = 2, body_seconds: float = 60.0) -> Starlette:
    """The application.

    Args:
      service: what it serves.
      workers: how many pictures are worked on at a time.
      body_seconds: in which a request has to arrive.
    """
    largest = service.limits.max_bytes + _FORM_BYTES
    limited = Middleware(
        bodies.LimitedBodies,
        most=lambda scope: largest if scope["path"] in _PICTURES else _FORM_BYTES,
        seconds=body_seconds,
    )
    app = Starlette(
        routes=[*pages.ROUTES, api.ROUTES, c2pa.ROUTES],
        middleware=[Middleware(guards.SecureHeaders), limited],
        exception_handlers={HTTPException: _failed, ClientDisconnect: bodies.gone, Exception: _broke},
    )
    app.state.service = service
    app.state.workers, app.state.lookers = anyio.CapacityLimiter(workers), anyio.CapacityLimiter(_LOOKERS)
    app.state.coming = collections.Counter()
    return app


async def _failed(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    for_programs = request.url.path.startswith(("/api/", "/c2pa/"))
    return api.error_response(error) if for_programs else pages.error_page(error)


async def _broke(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return await _failed(request, HTTPException(500, "something went wrong here, and is written down"))
