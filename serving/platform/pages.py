"""The pages: upload, verify, one's pictures, and the moderators' queue.

A session is a cookie that no script reads and other sites' forms do not send; every form that changes something also
sends the session's CSRF token, and comes from this site. Pictures are put into the pages as data: no address of theirs
can be asked for.
"""

import base64
import functools
import importlib.resources
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import jinja2
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from faketagger.serving.platform import accounts, service, web, words
from faketagger.serving.platform.accounts import Caller

# The prefix makes browsers refuse it unless it is Secure, of this host alone and of every path.
COOKIE = "__Host-faketagger"
_STATIC = {"platform.css": "text/css", "platform.js": "text/javascript"}
_MAX_FIELD_BYTES = 1000


async def _login_form(request: Request) -> Response:
    return _page("login.jinja", None)


async def _log_in(request: Request) -> Response:
    async with _form(request) as form:
        token = str(form.get("token", "")).strip()
    secret = await web.look(request, lambda service: service.accounts.log_in(token))
    if secret is None:
        return _page("login.jinja", None, 401, error="That is no token, or one that has been revoked.")
    response = RedirectResponse("/", 303)
    lasts = accounts.LOGIN_SECONDS
    response.set_cookie(COOKIE, secret, max_age=lasts, path="/", secure=True, httponly=True, samesite="strict")
    return response


class Visit:
    """A page that somebody asks for who has logged in. `csrf` is what forms on it send along."""

    def __init__(self, caller: Caller, secret: str):
        self.caller, self.secret, self.csrf = caller, secret, accounts.csrf_token(secret)


Handler = Callable[[Request, Visit], Awaitable[Response]]


def _for_visitors(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route's endpoint that sends those who have not logged in to do so."""

    async def endpoint(request: Request) -> Response:
        secret = request.cookies.get(COOKIE, "")
        caller = await web.look(request, lambda service: service.accounts.of_login(secret)) if secret else None
        if caller is None:
            return RedirectResponse("/login", 303)
        return await handler(request, Visit(caller, secret))

    return endpoint


async def _log_out(request: Request, visit: Visit) -> Response:
    async with _form(request) as form:
        _check_form(visit, form)
    await web.look(request, lambda service: service.accounts.log_out(visit.secret))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


async def _upload_form(request: Request, visit: Visit) -> Response:
    return _page("upload.jinja", visit)


async def _upload(request: Request, visit: Visit) -> Response:
    data, name = await _picture(request, visit)
    made = await web.work(request, lambda service: service.upload(visit.caller, data, name))
    upload = await web.look(request, lambda service: service.fetch(visit.caller, made.id))
    return _page("upload.jinja", visit, upload=upload)


async def _verify_form(request: Request, visit: Visit) -> Response:
    return _page("verify.jinja", visit)


async def _verify(request: Request, visit: Visit) -> Response:
    data, _ = await _picture(request, visit)
    verdict = await web.work(request, lambda service: service.verify(visit.caller, data))
    return _page("verify.jinja", visit, verdict=verdict, said=words.of_verdict(verdict))


async def _mine(request: Request, visit: Visit) -> Response:
    uploads = await web.look(request, lambda service: service.uploads(visit.caller))
    return _page("mine.jinja", visit, uploads=uploads)


async def _file(request: Request, visit: Visit) -> Response:
    upload_id = request.path_params["upload_id"]
    return web.file_of(await web.look(request, lambda service: service.fetch(visit.caller, upload_id)))


async def _queue(request: Request, visit: Visit) -> Response:
    return _page("queue.jinja", visit, cases=await web.look(request, lambda service: service.queue(visit.caller)))


async def _case(request: Request, visit: Visit) -> Response:
    number = web.number(request.path_params["number"], 1, web.CASE_NUMBERS, "a case")
    return _page("case.jinja", visit, case=await web.look(request, lambda service: service.case(visit.caller, number)))


async def _decide(request: Request, visit: Visit) -> Response:
    number = web.number(request.path_params["number"], 1, web.CASE_NUMBERS, "a case")
    async with _form(request) as form:
        _check_form(visit, form)
        decision = form.get("decision")
    if decision not in ("release", "reject"):
        raise HTTPException(400, "the decision is release or reject")
    await web.work(request, lambda service: service.decide(visit.caller, number, decision == "release"))
    return RedirectResponse("/queue", 303)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404, "there is no such page")
    return Response(_asset(name), media_type=_STATIC[name], headers={"cache-control": "max-age=3600"})


async def _picture(request: Request, visit: Visit) -> tuple[bytes, str]:
    with web.receiving(request, visit.caller):
        async with _form(request) as form:
            _check_form(visit, form)
            file = form.get("picture")
            if not isinstance(file, UploadFile):
                raise HTTPException(400, "no picture was chosen")
            return await file.read(), file.filename or ""


def _form(request: Request) -> Any:
    """A form of this site, to be waited for in `async with`."""
    _check_origin(request)
    if web.media_type(request) not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise HTTPException(415, "this is for forms; programs call /api/v1")
    _, options = parse_options_header(request.headers["content-type"])
    if options.get(b"charset", b"utf-8").lower() != b"utf-8":  # Others decode to what is no text.
        raise HTTPException(415, "forms are in UTF-8")
    return request.form(max_files=1, max_fields=4, max_part_size=_MAX_FIELD_BYTES)


def _check_form(visit: Visit, form: Any) -> None:
    sent = form.get("csrf")
    if not isinstance(sent, str) or not accounts.equal(sent, visit.csrf):
        raise HTTPException(403, "the form is not of this session: load the page again")


def _check_origin(request: Request) -> None:
    """HTTPException 403 for what another site's page sends; programs, which say no origin, hold no session."""
    if _is_elsewhere(request) or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "the form was sent by another site")


def _is_elsewhere(request: Request) -> bool:
    origin = request.headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    except ValueError:  # It is no address at all.
        return True


def error_page(error: HTTPException) -> Response:
    """Of what went wrong, as a page."""
    response = _page("error.jinja", None, error.status_code, message=error.detail)
    response.headers.update(error.headers or {})
    return response


def _page(template: str, visit: Visit | None, status: int = 200, **shown: Any) -> Response:
    text = _templates().get_template(template).render(visit=visit, words=words, service=service, **shown)
    return Response(text, status, media_type="text/html")


@functools.cache
def _templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader("faketagger.serving.platform")
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    made.filters["picture"] = lambda data: f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    made.filters["time"] = lambda seconds: time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) + " UTC"
    made.filters["percent"] = lambda share: "–" if share is None else f"{share:.0%}"
    return made


@functools.cache
def _asset(name: str) -> str:
    return importlib.resources.files("faketagger.serving.platform").joinpath("static").joinpath(name).read_text()


ROUTES = [
    Route("/login", _login_form, methods=["GET"]),
    Route("/login", _log_in, methods=["POST"]),
    Route("/logout", _for_visitors(_log_out), methods=["POST"]),
    Route("/", _for_visitors(_upload_form), methods=["GET"]),
    Route("/", _for_visitors(_upload), methods=["POST"]),
    Route("/verify", _for_visitors(_verify_form), methods=["GET"]),
    Route("/verify", _for_visitors(_verify), methods=["POST"]),
    Route("/mine", _for_visitors(_mine), methods=["GET"]),
    Route("/uploads/{upload_id}/file", _for_visitors(_file), methods=["GET"]),
    Route("/queue", _for_visitors(_queue), methods=["GET"]),
    Route("/queue/{number}", _for_visitors(_case), methods=["GET"]),
    Route("/queue/{number}", _for_visitors(_decide), methods=["POST"]),
    Route("/static/{name}", _static, methods=["GET"]),
]
