"""The pages in a browser: by keyboard, by drag and drop, on wide and narrow screens, within their content policy."""

import base64
import threading

import pytest

from faketagger.serving.platform import app, service
from faketagger.serving.web import listener
from faketagger.tests.serving.platform import browser
from faketagger.tests.serving.platform.stubs import png, scene

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not browser.program(), reason="no Chromium is installed")]

WIDE, NARROW = (1280, 900), (360, 740)


@pytest.fixture
def address(platform):
    """Where the platform is."""
    server = listener.make_server(app.make_app(platform))
    with listener.bound("localhost", 0) as listening:
        running = threading.Thread(target=server.run, args=([listening],))
        running.start()
        yield f"http://localhost:{listening.getsockname()[1]}"
        server.should_exit = True
        running.join(60)


@pytest.fixture
def page(tmp_path):
    made = browser.Browser(tmp_path / "profile")
    yield made
    made.close()


@pytest.fixture
def log_in(page, address, tokens):
    """Logs in by keyboard alone."""

    def log_in(name):
        page.open(f"{address}/login")
        page.tab_to("#token")
        page.type(tokens[name])
        page.press("Enter")
        page.until("location.pathname == '/' && document.readyState == 'complete'")

    return log_in


def _fits(page):
    return page.ask("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def _tops(page):
    return page.ask(
        "[...document.querySelectorAll('.pictures img')].map(it => Math.round(it.getBoundingClientRect().top))"
    )


def test_a_picture_is_uploaded_by_keyboard_with_its_progress(page, log_in, tmp_path, platform, callers):
    (tmp_path / "me.png").write_bytes(png(scene(1)))
    log_in("ann")
    page.ask("""
        window.seen = [];
        new MutationObserver(() => seen.push(document.querySelector('progress').hidden))
            .observe(document.querySelector('progress'), {attributes: true});
        document.activeElement.blur()
    """)
    page.press("Tab")
    assert page.ask("document.activeElement.className") == "skip"
    page.tab_to("#picture")
    page.choose("#picture", tmp_path / "me.png")
    page.tab_to(".chooser button")
    page.press("Enter")
    page.until("document.querySelectorAll('#result img').length == 2")
    assert page.ask("document.activeElement.id") == "result"
    assert page.ask("[...document.querySelectorAll('#result img')].every(it => it.complete && it.naturalWidth > 0)")
    assert "me.png: tagged" in page.ask("document.querySelector('#result h2').textContent")
    assert page.ask("seen[0]") is False and page.ask("seen.at(-1)") is True
    page.press("Tab")
    assert page.ask("document.activeElement.textContent") == "Save the tagged file"
    assert [it.outcome for it in platform.uploads(callers["ann"])] == [service.TAGGED] and page.errors == []


def test_a_picture_is_verified_by_drag_and_drop(page, log_in, address):
    log_in("ann")
    page.open(f"{address}/verify")
    data = base64.b64encode(png(scene(1))).decode()
    page.ask(f"""
        const dropped = new DataTransfer();
        const bytes = Uint8Array.from(atob({data!r}), it => it.charCodeAt(0));
        dropped.items.add(new File([bytes], 'a.png', {{type: 'image/png'}}));
        const drop = (name) => document.querySelector('.drop').dispatchEvent(
            new DragEvent(name, {{dataTransfer: dropped, bubbles: true, cancelable: true}}));
        drop('dragover');
        window.marked = document.querySelector('.drop').classList.contains('over');
        drop('drop')
    """)
    page.until("document.querySelector('#result').textContent.includes('No tag was found')")
    assert page.ask("marked") is True and page.errors == []


def test_an_error_is_shown_where_the_answer_would_be(page, log_in, tmp_path):
    (tmp_path / "no.png").write_bytes(b"no picture")
    log_in("ann")
    page.choose("#picture", tmp_path / "no.png")
    page.tab_to(".chooser button")
    page.press("Enter")
    page.until("document.querySelector('#result [role=alert]') !== null")
    assert "not a picture" in page.ask("document.querySelector('#result').textContent")
    assert page.ask("location.pathname == '/' && !document.querySelector('.chooser button').disabled")


def test_a_case_is_decided_by_keyboard_with_the_pictures_side_by_side(page, log_in, platform, callers, address):
    file = platform.fetch(callers["ann"], platform.upload(callers["ann"], png(scene(1)), "a.png").id).file
    held = platform.upload(callers["bob"], file, "<img src=x onerror='document.title=1'>.png")
    page.resize(*WIDE)
    log_in("mod")
    page.tab_to("nav a[href='/queue']")
    page.press("Enter")
    page.until("location.pathname == '/queue' && document.readyState == 'complete'")
    page.tab_to("main a")
    page.press("Enter")
    page.until("location.pathname == '/queue/1' && document.readyState == 'complete'")
    first, second = _tops(page)
    assert first == second and page.ask("document.title").startswith("Case 1")
    page.resize(*NARROW)
    first, second = _tops(page)
    assert first < second and _fits(page)
    page.tab_to("button[value=release]")
    page.press("Enter")
    page.until("location.pathname == '/queue' && document.readyState == 'complete'")
    assert platform.fetch(callers["bob"], held.id).outcome == service.RELEASED and page.errors == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_fit_their_screen(page, log_in, platform, callers, address, size):
    platform.upload(callers["mod"], png(scene(1)), "a very long name " * 5 + "x" * 60 + ".png")
    page.resize(*size)
    page.open(f"{address}/login")
    assert _fits(page)
    log_in("mod")
    for path in ("/", "/verify", "/mine", "/queue"):
        page.open(f"{address}{path}")
        assert _fits(page), path
    lines = page.ask("[...document.querySelectorAll('nav a')].map(it => it.getBoundingClientRect().height)")
    assert max(lines) < 50
    large = "[...document.querySelectorAll('button')].every(it => it.getBoundingClientRect().height >= 40)"
    assert page.ask(large) and page.errors == []
