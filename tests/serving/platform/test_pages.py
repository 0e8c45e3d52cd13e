"""The pages: who gets in, what the forms do, and that they say it in words."""

import re

import pytest

from faketagger.serving.platform import pages
from faketagger.tests.serving.platform.stubs import BlockTagger, pixels_of, png, scene


@pytest.fixture
def log_in(client, tokens):
    """Logs somebody in, in place of who was; returns what forms send along."""

    def log_in(name):
        client.cookies.clear()
        answer = client.post("/login", data={"token": tokens[name]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        return {"csrf": re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/").text)[1]}

    return log_in


def send(client, path, data, form, name="a.png"):
    """A picture by the form of a page."""
    return client.post(path, data=form, files={"picture": (name, data, "image/png")})


def saved(client, page):
    """The file that a page offers."""
    return client.get(re.search(r'href="(/uploads/[^"]+)"', page.text)[1])


@pytest.mark.parametrize("path", ["/", "/verify", "/mine", "/queue", "/queue/1", "/uploads/x/file"])
def test_who_has_not_logged_in_is_sent_to(client, path):
    for cookies in ({}, {pages.COOKIE: "guess"}):
        client.cookies.update(cookies)
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_wrong_token_does_not_log_in(client):
    answer = client.post("/login", data={"token": "<b>guess</b>"})
    assert answer.status_code == 401 and "no token" in answer.text and "set-cookie" not in answer.headers


def test_the_cookie_is_kept_from_scripts_other_hosts_and_plain_connections(client, tokens):
    cookie = client.post("/login", data={"token": tokens["ann"]}).headers["set-cookie"]
    assert cookie.startswith("__Host-") and tokens["ann"] not in cookie
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))


def test_logging_out_ends_the_session_itself(client, log_in):
    form = log_in("ann")
    cookie = client.cookies[pages.COOKIE]
    client.post("/logout", data=form)
    client.cookies.set(pages.COOKIE, cookie)
    assert client.get("/").status_code == 303


def test_an_upload_is_shown_with_its_residual_and_saved(client, log_in):
    page = send(client, "/", png(scene(1)), log_in("ann"))
    assert "Tagged and registered" in page.text and page.text.count("data:image/jpeg;base64,") == 2
    file = saved(client, page)
    assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''a.tagged.png"
    assert BlockTagger().read(pixels_of(file.content)).p_value < 1e-6
    assert "a.png" in client.get("/mine").text


def test_a_copy_goes_through_the_queue_with_both_pictures(client, log_in):
    file = saved(client, send(client, "/", png(scene(1)), log_in("ann"))).content
    held = send(client, "/", file, log_in("bob"), "stolen.png")
    assert "Held" in held.text and "ann" not in held.text and "/file" not in held.text
    assert client.get("/queue").status_code == 404 and "Queue" not in client.get("/").text
    form = log_in("mod")
    assert "stolen.png" in client.get("/queue").text
    case = client.get("/queue/1")
    assert case.text.count("data:image/jpeg;base64,") == 2
    assert re.search(r"Uploaded by <strong>bob</strong>.*Registered by <strong>ann</strong>", case.text, re.DOTALL)
    assert client.post("/queue/1", data={**form, "decision": "maybe"}).status_code == 400
    assert client.post("/queue/1", data={**form, "decision": "reject"}).headers["location"] == "/queue"
    assert "Nothing waits" in client.get("/queue").text and "rejected" in client.get("/queue/1").text
    assert client.get("/queue/1").text.count("data:image/jpeg;base64,") == 1
    log_in("bob")
    assert "A moderator has rejected it" in client.get("/mine").text and "<img" not in client.get("/mine").text


def test_verify_shows_the_registered_picture_to_its_owner(client, log_in):
    file = saved(client, send(client, "/", png(scene(1)), log_in("ann"))).content
    mine = send(client, "/verify", file, log_in("ann"))
    others = send(client, "/verify", file, log_in("bob"))
    assert "registered by you" in mine.text and mine.text.count("data:image/jpeg") == 2
    assert "does not show its name" in others.text and others.text.count("data:image/jpeg") == 1
    assert "ann" not in others.text.replace("cannot", "")


def test_errors_are_pages_that_the_script_can_show(client, log_in):
    page = send(client, "/", b"no picture", log_in("ann"))
    assert page.status_code == 422 and 'id="result"' in page.text and "not a picture" in page.text


def test_an_error_keeps_its_capitals(client):
    odd = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"}
    assert "Forms are in UTF-8." in client.post("/login", content=b"token=x", headers=odd).text


def test_every_page_is_labelled_and_takes_nothing_from_outside(client, log_in):
    log_in("mod")
    for path in ("/", "/verify", "/mine", "/queue", "/login", "/nothing"):
        text = client.get(path).text
        assert '<html lang="en">' in text and text.count("<h1>") == 1 and 'name="viewport"' in text
        for element in re.findall(r"<input[^>]*>", text):
            assert 'type="hidden"' in element or f'<label for="{re.search("id=.([a-z]+)", element)[1]}"' in text
        assert not re.search(r"""(src|href|action)=["'](https?:)?//""", text)
        assert not re.search(r"<script(?! src)|\son[a-z]+=|style=", text)
    for name in ("platform.css", "platform.js"):
        asset = client.get(f"/static/{name}")
        assert asset.status_code == 200 and "http" not in asset.text.replace("XMLHttpRequest", "").lower()


def test_the_page_that_one_is_on_is_marked(client, log_in):
    log_in("ann")
    assert re.findall(r'href="([^"]+)" aria-current="page"', client.get("/verify").text) == ["/verify"]
