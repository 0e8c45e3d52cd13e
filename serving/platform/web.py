"""What the programs' interface and the pages share: workers, errors by kind, files that are sent."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from faketagger.serving.platform import registry, service, tagger
from faketagger.serving.platform.accounts import Caller, TooOftenError
from faketagger.serving.platform.service import Service
from faketagger.serving.platform.tables import Upload

CASE_NUMBERS = 2**31 - 1  # The highest that is asked for in the database.

_Answer = TypeVar("_Answer")

_MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
_ANY_MEDIA_TYPE = "application/octet-stream"
_log = logging.getLogger("faketagger.platform")


async def work(request: Request, job: Callable[[Service], _Answer]) -> _Answer:
    """Does on one of the workers what takes long; what the service raises becomes an HTTPException."""
    return await _run(request, job, request.app.state.workers)


async def look(request: Request, job: Callable[[Service], _Answer]) -> _Answer:
    """As `work`, for a look into the database, which does not wait until pictures are done."""
    return await _run(request, job, request.app.state.lookers)


async def _run(request: Request, job: Callable[[Service], _Answer], limiter: anyio.CapacityLimiter) -> _Answer:
    try:
        return await anyio.to_thread.run_sync(job, request.app.state.service, limiter=limiter)
    except (service.RefusedError, tagger.UnfitError) as error:
        raise HTTPException(422, str(error)) from error
    except service.MissingError as error:
        raise HTTPException(404, str(error)) from error
    except service.ConflictError as error:
        raise HTTPException(409, str(error)) from error
    except TooOftenError as error:
        raise HTTPException(429, str(error), {"Retry-After": str(error.seconds)}) from error
    except (tagger.UnavailableError, registry.FullError) as error:
        _log.error("%s", error)
        raise HTTPException(503, "pictures cannot be tagged or read at the moment", {"Retry-After": "30"}) from error


@contextlib.contextmanager
def receiving(request: Request, caller: Caller) -> Iterator[None]:
    """While a picture of somebody's comes in: HTTPException 429 where as many come as an account may send at a time."""
    coming, most = request.app.state.coming, request.app.state.service.limits.at_once
    if coming[caller.id] >= most:
        raise HTTPException(429, "other pictures of yours are coming in", {"Retry-After": "5"})
    coming[caller.id] += 1
    try:
        yield
    finally:
        coming[caller.id] -= 1


def file_of(upload: Upload) -> Response:
    """The file of an upload, to be saved, never shown by the browser; 404 where there is none (any more)."""
    if upload.file is None:
        raise HTTPException(404, "there is no file (any more)")
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(service.file_name(upload), safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    return Response(upload.file, media_type=_MEDIA_TYPES.get(upload.format, _ANY_MEDIA_TYPE), headers=headers)


def media_type(request: Request) -> str:
    """Of the request's body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def number(text: Any, least: int, most: int, what: str) -> int:
    """A whole number within bounds; HTTPException 400 otherwise."""
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20):
        raise HTTPException(400, f"{what} is a number from {least} to {most}")
    if not least <= int(text) <= most:
        raise HTTPException(400, f"{what} is a number from {least} to {most}")
    return int(text)
