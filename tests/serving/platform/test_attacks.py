"""What an attacker would try: each ends with an answer that gives nothing away and leaves the platform working."""

import ast
import functools
import io
import itertools
import pathlib
import struct
import zlib

import anyio
import pytest
from PIL import Image
from starlette.testclient import TestClient

from faketagger.serving import decoding
from faketagger.serving.platform import accounts, app, pages, service
from faketagger.serving.platform.service import Limits
from faketagger.serving.web.bodies import LimitedBodies
from faketagger.tests.serving.platform.stubs import BlockTagger, png, scene
from faketagger.tests.serving.platform.test_pages import log_in, send  # noqa: F401  A fixture.

ROOM = pathlib.Path(service.__file__).parent


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _bomb(width, height):
    """A whole PNG of a few kilobytes that unpacks to a size."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(b"\0" * (1 + 3 * width)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


@pytest.fixture
def small(engine, callers):
    """The application with limits that are quickly reached."""
    platform = service.Service(engine, BlockTagger(), Limits(max_bytes=100_000, max_pixels=1_000_000))
    with TestClient(app.make_app(platform), base_url="https://platform.test", follow_redirects=False) as client:
        yield client


# Sizes


def test_a_decompression_bomb_is_refused_by_its_header(small, bearer, monkeypatch):
    bomb = _bomb(2000, 2000)
    assert len(bomb) < 20_000
    for path in ("/api/v1/uploads", "/api/v1/verify", "/c2pa/matches/byContent"):
        answer = small.post(path, content=bomb, headers={**bearer("ann"), "Content-Type": "image/png"})
        assert answer.status_code == 422 and "2000×2000 is over" in answer.json()["error"]["message"]


def test_a_jpeg_of_thousands_of_scans_is_not_decoded(client, bearer):
    buffer = io.BytesIO()
    Image.fromarray(scene(1)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    for times, status in ((0, 200), (3000, 422)):
        sent = data[:-2] + times * last + data[-2:]
        answer = client.post("/api/v1/verify", content=sent, headers={**bearer("ann"), "Content-Type": "image/jpeg"})
        assert answer.status_code == status
    assert "scans" in answer.json()["error"]["message"]


def test_a_picture_that_takes_too_long_to_decode_is_refused_and_one_that_does_not_is_taken(client, bearer, monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(scene(1)).save(buffer, "WEBP")  # It is decoded in a process of its own.
    sent = {"content": buffer.getvalue(), "headers": {**bearer("ann"), "Content-Type": "image/webp"}}
    assert client.post("/api/v1/verify", **sent).status_code == 200

    in_no_time = functools.partial(decoding.apart, max, itertools.count(), seconds=1)
    monkeypatch.setattr(decoding, "apart", lambda *_: in_no_time())
    answer = client.post("/api/v1/verify", **sent)
    assert answer.status_code == 422 and "takes too long" in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP"])
def test_kinds_that_can_hold_pages_without_end_are_not_opened(client, bearer, kind):
    buffer = io.BytesIO()
    Image.fromarray(scene(1)).save(buffer, kind)
    headers = {**bearer("ann"), "Content-Type": f"image/{kind.lower()}"}
    answer = client.post("/api/v1/uploads", content=buffer.getvalue(), headers=headers)
    assert answer.status_code == 422 and f"{kind} is not taken here" in answer.json()["error"]["message"]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "streamed"])
def test_a_body_that_is_too_large_is_cut_off(small, bearer, declared):
    body = b"x" * 400_000
    content = body if declared else (body[start : start + 10_000] for start in range(0, len(body), 10_000))
    answer = small.post("/api/v1/uploads", content=content, headers={**bearer("ann"), "Content-Type": "image/png"})
    assert answer.status_code == 413 and answer.json()["error"]["status"] == 413


def test_a_form_that_is_too_large_is_cut_off(small, tokens):
    small.post("/login", data={"token": tokens["ann"]})
    assert send(small, "/", b"x" * 400_000, {"csrf": "x"}).status_code == 413
    many = {f"field{number}": "x" for number in range(50)}
    assert small.post("/verify", data=many, files={"picture": ("a", b"x")}).status_code == 400
    assert small.post("/verify", data={"csrf": "x" * 5000}, files={"picture": ("a", b"x")}).status_code == 400


@pytest.mark.parametrize("length", [b"-1", b"1e9", b"99999999999999999999"])
def test_a_length_that_is_none_is_refused(length):
    async def call():
        said = []
        scope = {"type": "http", "headers": [(b"content-length", length)]}

        async def inner(scope, receive, send):
            await receive()

        with pytest.raises(Exception) as refused:
            await LimitedBodies(inner, 1000, 5)(scope, None, said.append)
        return refused.value.status_code

    assert anyio.run(call) == 413


def test_a_body_that_does_not_come_is_not_waited_for():
    async def call():
        async def never():
            await anyio.sleep_forever()

        async def inner(scope, receive, send):
            await receive()

        with pytest.raises(Exception) as refused:
            await LimitedBodies(inner, 1000, 0.05)({"type": "http", "headers": []}, never, None)
        return refused.value.status_code

    assert anyio.run(call) == 408


@pytest.mark.parametrize("path", ["/login", "/api/v1/uploads"])
def test_who_goes_while_he_sends_is_no_failure_of_the_platform(platform, callers, path, caplog):
    async def call():
        answers = []

        async def gone():
            return {"type": "http.disconnect"}

        async def send(message):
            answers.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
        headers = {b"content-type": b"application/x-www-form-urlencoded", b"content-length": b"10"}
        scope |= {"headers": list(headers.items()), "scheme": "https", "server": ("platform.test", 443)}
        await app.make_app(platform)(scope, gone, send)
        return answers[0]["status"]

    assert anyio.run(call) < 500 and not caplog.records


def test_without_a_token_no_body_is_read(platform):
    async def call():
        answers = []

        async def unread():
            raise AssertionError("the body was asked for")

        async def send(message):
            answers.append(message)

        path = "/api/v1/uploads"
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {"headers": [(b"content-type", b"image/png")], "scheme": "https", "server": ("platform.test", 443)}
        await app.make_app(platform)(scope, unread, send)
        return answers[0]["status"]

    assert anyio.run(call) == 401


@pytest.mark.parametrize(
    "path, sent",
    [
        ("/login", {"data": {"token": "t" * 100_000}}),
        ("/login", {"data": {"token": "t"}, "files": {"picture": ("a.png", b"p" * 100_000, "image/png")}}),
        ("/logout", {"data": {"csrf": "c" * 100_000}}),
        ("/queue/1", {"data": {"decision": "d" * 100_000}}),
    ],
)
def test_what_takes_no_picture_takes_no_large_body(client, log_in, path, sent):  # noqa: F811
    log_in("mod")
    assert client.post(path, **sent).status_code == 413


def test_json_is_small(client, bearer):
    headers = {**bearer("mod"), "Content-Type": "application/json"}
    assert client.post("/api/v1/queue/1", content=b"{}" + b" " * 70_000, headers=headers).status_code == 413


def test_a_form_of_very_many_fields_is_refused(client):
    form = "&".join(f"f{number}=1" for number in range(1000))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content=form, headers=headers).status_code == 400


@pytest.mark.parametrize("charset", ["utf-7", "undefined", "idna", "none"])
def test_a_form_in_another_encoding_is_refused(client, log_in, charset):  # noqa: F811
    form = log_in("ann")
    body = f'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{form["csrf"]}\r\n--b--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    assert client.post("/logout", content=body.encode(), headers=headers).status_code == 415
    assert client.get("/").status_code == 200


def test_too_many_are_the_logins_of_a_token(client, tokens, monkeypatch):
    monkeypatch.setattr(accounts, "_LOGINS", 1)
    assert client.post("/login", data={"token": tokens["ann"]}).status_code == 303
    assert client.post("/login", data={"token": tokens["ann"]}).status_code == 429


def test_one_account_sends_only_so_many_pictures_at_a_time(platform, callers):
    application = app.make_app(platform)

    class Request:
        app = application

    from faketagger.serving.platform import web

    with web.receiving(Request, callers["ann"]):
        with pytest.raises(Exception) as refused, web.receiving(Request, callers["ann"]):
            pass
        with web.receiving(Request, callers["bob"]):
            pass
    assert refused.value.status_code == 429
    with web.receiving(Request, callers["ann"]):
        pass


# Paths and names


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2Fapp.py",
        "/static/%2e%2e/templates/base.jinja",
        "/static/....//app.py",
        "/static/%2Fetc%2Fpasswd",
        "/uploads/..%2F..%2Fplatform.db/file",
        "/uploads/%00/file",
        "/queue/..%2F..%2Fetc",
    ],
)
def test_no_path_leads_to_a_file(client, log_in, path):  # noqa: F811
    log_in("mod")
    answer = client.get(path)
    assert answer.status_code in (303, 400, 404) and "import" not in answer.text and "root:" not in answer.text


def test_the_name_of_a_file_is_never_a_path_a_header_or_a_script(client, log_in, bearer, tmp_path):  # noqa: F811
    name = '"><script>alert(1)</script>\r\nX-Evil: 1;../../../tmp/x'
    form = log_in("bob")
    sent = {"name": "../<script>alert(2)</script>\r\nX-Evil: 1"}
    made = client.post(
        "/api/v1/uploads", params=sent, content=png(scene(1)), headers={**bearer("bob"), "Content-Type": "image/png"}
    ).json()
    file = client.get(made["file"], headers=bearer("bob"))
    assert "x-evil" not in file.headers and "<" not in file.headers["content-disposition"]
    assert send(client, "/", png(scene(2)), form, name).status_code == 200
    page = client.get("/mine").text
    assert "<script>alert" not in page and "script&gt;" in page
    assert [it.name for it in tmp_path.iterdir() if not it.name.startswith("platform.db")] == []


def test_names_are_escaped_for_moderators_too(client, log_in):  # noqa: F811
    form = log_in("ann")
    page = send(client, "/", png(scene(1)), form).text
    file = client.get(page.split('href="/uploads/')[1].split('"')[0].join(["/uploads/", ""])).content
    send(client, "/", file, log_in("bob"), "<img src=x onerror=alert(1)>.png")
    log_in("mod")
    for path in ("/queue", "/queue/1"):
        text = client.get(path).text
        assert "onerror=alert(1)&gt;" in text and "<img src=x" not in text


def test_errors_do_not_echo_markup(client, log_in):  # noqa: F811
    log_in("ann")
    for path in ("/<script>alert(1)</script>", "/queue/<script>", "/uploads/<script>/file"):
        assert "<script>alert" not in client.get(path).text


def test_every_answer_carries_the_headers_that_keep_browsers_here(client, log_in, bearer):  # noqa: F811
    log_in("ann")
    for path in ("/", "/login", "/nothing", "/static/platform.js", "/api/v1/uploads", "/c2pa/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "'unsafe-inline'" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert client.get("/").headers["cache-control"] == "no-store"


# Other sites


def test_a_form_without_this_sessions_token_changes_nothing(client, log_in):  # noqa: F811
    other = log_in("bob")
    form = log_in("ann")
    for wrong in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é" * 3}, other):
        assert send(client, "/", png(scene(1)), wrong).status_code == 403
        assert client.post("/logout", data=wrong or {"x": "y"}).status_code == 403
        assert client.post("/queue/1", data={**wrong, "decision": "release"}).status_code == 403
    assert "Nothing yet" in client.get("/mine").text
    assert send(client, "/", png(scene(1)), form).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_what_another_site_sends_is_refused_even_with_the_token(client, log_in, tokens, headers):  # noqa: F811
    form = log_in("ann")
    answer = client.post("/", data=form, files={"picture": ("a.png", png(scene(1)))}, headers=headers)
    assert answer.status_code == 403
    assert client.post("/login", data={"token": tokens["ann"]}, headers=headers).status_code == 403
    same = {"Origin": "https://platform.test", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/logout", data=form, headers=same).status_code == 303


def test_an_origin_that_is_no_address_is_another_site(client, tokens):
    answer = client.post("/login", data={"token": tokens["ann"]}, headers={"Origin": "http://["})
    assert answer.status_code == 403


def test_forms_are_no_json(client, log_in):  # noqa: F811
    form = log_in("ann")
    assert client.post("/logout", json=form).status_code == 415
    assert client.post("/logout", content="x", headers={"Content-Type": "text/plain"}).status_code == 415


def test_no_answer_lets_other_sites_read_it(client, bearer):
    answer = client.get("/api/v1/uploads", headers={**bearer("ann"), "Origin": "https://evil.test"})
    assert "access-control-allow-origin" not in answer.headers
    assert client.options("/api/v1/uploads").status_code == 405


# What it must not do


def test_nothing_here_fetches_an_address_or_starts_a_program():
    """No module of the room imports what calls out: an address in a form, a picture or a query is never followed."""
    calls_out = {
        "urllib.request",
        "http",
        "http.client",
        "requests",
        "httpx",
        "aiohttp",
        "socket",
        "ftplib",
        "subprocess",
    }
    imported = set()
    for path in set(ROOM.rglob("*.py")) - {ROOM / "listener.py"}:  # Which listens.
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert "starlette.routing" in imported and imported & calls_out == set()


def test_an_address_in_place_of_a_picture_is_only_a_wrong_picture(client, bearer):
    for body in (
        b"http://127.0.0.1:1/x.png",
        b'<svg xmlns:x="http://127.0.0.1:1/"><image href="file:///etc/passwd"/></svg>',
    ):
        answer = client.post("/api/v1/verify", content=body, headers={**bearer("ann"), "Content-Type": "image/svg+xml"})
        assert answer.status_code == 422 and "root:" not in answer.text


def test_a_guessed_session_or_token_costs_no_picture(client, tagger):
    tagger.broken = AssertionError("a picture was worked on")
    client.cookies.set(pages.COOKIE, "guess")
    assert client.post("/", data={"csrf": "x"}, files={"picture": ("a", png(scene(1)))}).status_code == 303
    wrong = {"Authorization": "Bearer ftk_" + "0" * 16 + "_" + "A" * 43, "Content-Type": "image/png"}
    assert client.post("/api/v1/verify", content=png(scene(1)), headers=wrong).status_code == 401


def test_the_csrf_token_does_not_tell_the_session(platform, tokens):
    secret = platform.accounts.log_in(tokens["ann"])
    assert platform.accounts.of_login(accounts.csrf_token(secret)) is None
    assert accounts.csrf_token(secret) != accounts.csrf_token(platform.accounts.log_in(tokens["ann"]))
