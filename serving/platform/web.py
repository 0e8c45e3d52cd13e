"""What the programs' interface and the pages share: workers, errors by kind, files that are sent."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from faketagger.serving.platform import registry, service, tagger
from faketagger.serving.platform.accounts import TooOftenError
from faketagger.serving.platform.service import Service
from faketagger.serving.platform.tables import Upload

_Answer = TypeVar("_Answer")

_MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
_ANY_MEDIA_TYPE = "application/octet-stream"
_log = logging.getLogger("faketagger.platform")


async def work(request: Request, job: Callable[[Service], _Answer]) -> _Answer:
    """Does what may take long on one of the workers; what the service raises becomes an HTTPException."""
    state = request.app.state
    try:
        return await anyio.to_thread.run_sync(job, state.service, limiter=state.workers)
    except service.RefusedError as error:
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
    except tagger.UnfitError as error:
        raise HTTPException(422, str(error)) from error


async def quick(request: Request, job: Callable[[Service], _Answer]) -> _Answer:
    """As `work`, for a look into the database: not kept waiting by pictures."""
    state = request.app.state
    return await anyio.to_thread.run_sync(job, state.service, limiter=state.lookers)


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
