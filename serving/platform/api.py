"""The interface for programs, /api/v1: JSON out, pictures in as they are, a token in `Authorization: Bearer …`.

| call | takes | gives |
| --- | --- | --- |
| POST /uploads?name=… | a picture | 201 upload |
| GET /uploads, /uploads/ID, /uploads/ID/file | | uploads; an upload; the tagged file |
| POST /verify | a picture | verdict |
| GET /queue, /queue/NUMBER | | cases, of moderators |
| POST /queue/NUMBER | {"release": true} | the decided case |
| GET /audit | | the audit log's end, of moderators |

Errors are {"error": {"status": 413, "message": "…"}}.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from faketagger.serving.platform import web, words
from faketagger.serving.platform.accounts import Caller
from faketagger.serving.platform.service import Verdict
from faketagger.serving.platform.tables import Case, Upload

Handler = Callable[[Request, Caller], Awaitable[Response]]


def authorised(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route's endpoint that answers holders of a token alone. Cookies are no token: other sites cannot call it."""

    async def endpoint(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = None
        if scheme.lower() == "bearer":
            caller = await web.look(request, lambda service: service.accounts.of_token(token.strip()))
        if caller is None:
            raise HTTPException(401, "a token is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        return await handler(request, caller)

    return endpoint


async def picture_body(request: Request, caller: Caller) -> bytes:
    """The picture that a request's body is; HTTPException 415 for what does not call itself one."""
    kind = web.media_type(request)
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise HTTPException(415, "the body is a picture, with a Content-Type of image/…")
    with web.receiving(request, caller):
        return await request.body()


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object that a request's body is."""
    if web.media_type(request) != "application/json":
        raise HTTPException(415, "the body is JSON, with Content-Type application/json")
    data = await request.body()  # Of 64 KiB at most, as all that is no picture (app.py).
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "the body is no JSON object")
    return found


def error_response(error: HTTPException) -> Response:
    """The JSON of an error."""
    said = {"error": {"status": error.status_code, "message": error.detail}}
    return JSONResponse(said, error.status_code, error.headers)


async def _upload(request: Request, caller: Caller) -> Response:
    data, name = await picture_body(request, caller), request.query_params.get("name", "")
    upload = await web.work(request, lambda service: service.upload(caller, data, name))
    upload = await web.look(request, lambda service: service.fetch(caller, upload.id))
    return JSONResponse(_of_upload(upload), 201)


async def _uploads(request: Request, caller: Caller) -> Response:
    found = await web.look(request, lambda service: service.uploads(caller))
    return JSONResponse({"uploads": [_short(upload) for upload in found]})


async def _one_upload(request: Request, caller: Caller) -> Response:
    upload_id = request.path_params["upload_id"]
    return JSONResponse(_of_upload(await web.look(request, lambda service: service.fetch(caller, upload_id))))


async def _file(request: Request, caller: Caller) -> Response:
    upload_id = request.path_params["upload_id"]
    return web.file_of(await web.look(request, lambda service: service.fetch(caller, upload_id)))


async def _verify(request: Request, caller: Caller) -> Response:
    data = await picture_body(request, caller)
    return JSONResponse(_of_verdict(await web.work(request, lambda service: service.verify(caller, data))))


async def _queue(request: Request, caller: Caller) -> Response:
    return JSONResponse({"cases": [_of_case(it) for it in await web.look(request, lambda it: it.queue(caller))]})


async def _case(request: Request, caller: Caller) -> Response:
    number = web.number(request.path_params["number"], 1, web.CASE_NUMBERS, "a case")
    return JSONResponse(_of_case(await web.look(request, lambda service: service.case(caller, number))))


async def _decide(request: Request, caller: Caller) -> Response:
    number = web.number(request.path_params["number"], 1, web.CASE_NUMBERS, "a case")
    release = (await json_body(request)).get("release")
    if not isinstance(release, bool):
        raise HTTPException(400, '"release" is true or false')
    return JSONResponse(_of_case(await web.work(request, lambda service: service.decide(caller, number, release))))


async def _audit(request: Request, caller: Caller) -> Response:
    found = await web.look(request, lambda service: service.audit(caller))
    lines = [{"at": it.at, "account": it.account_id, "action": it.action, "subject": it.subject} for it in found]
    return JSONResponse({"entries": lines})


def _short(upload: Upload) -> dict[str, Any]:
    return {"id": upload.id, "name": upload.name, "created": upload.created, "outcome": upload.outcome}


def _of_upload(upload: Upload) -> dict[str, Any]:
    picture = upload.picture
    return {
        **_short(upload),
        "message": words.OF_OUTCOME[upload.outcome],
        "uid": picture and int(picture.uid),
        "picture": picture and picture.id,
        "file": f"/api/v1/uploads/{upload.id}/file" if upload.file is not None else None,
    }


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.value,
        "by": verdict.by,
        "owner": verdict.owner,
        "mine": verdict.mine,
        "picture": verdict.picture_id,
        "change": verdict.change and verdict.change.value,
        "how": verdict.how,
        "p_value": verdict.p_value,
        "damage": list(verdict.damage),
        "message": words.of_verdict(verdict),
    }


def _of_case(case: Case) -> dict[str, Any]:
    return {
        "number": case.id,
        "state": case.state,
        "reason": case.reason,
        "message": words.OF_REASON[case.reason],
        "uploader": case.upload.account.name,
        "owner": case.matched and case.matched.account.name,
        "picture": case.matched_id,
        "upload": _short(case.upload),
        "facts": case.facts,
    }


ROUTES = Mount(
    "/api/v1",
    routes=[
        Route("/uploads", authorised(_upload), methods=["POST"]),
        Route("/uploads", authorised(_uploads), methods=["GET"]),
        Route("/uploads/{upload_id}", authorised(_one_upload), methods=["GET"]),
        Route("/uploads/{upload_id}/file", authorised(_file), methods=["GET"]),
        Route("/verify", authorised(_verify), methods=["POST"]),
        Route("/queue", authorised(_queue), methods=["GET"]),
        Route("/queue/{number}", authorised(_case), methods=["GET"]),
        Route("/queue/{number}", authorised(_decide), methods=["POST"]),
        Route("/audit", authorised(_audit), methods=["GET"]),
    ],
)
