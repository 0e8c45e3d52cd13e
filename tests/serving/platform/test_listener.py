"""The platform over real connections: calls are answered, half-open ones are closed."""

import http.client
import signal
import socket
import subprocess
import sys
import threading

import pytest

from faketagger.serving.platform import app
from faketagger.serving.web import listener
from faketagger.tests.serving.platform.stubs import png, scene


@pytest.fixture
def port(platform, monkeypatch):
    """Where the platform listens, with little patience."""
    monkeypatch.setattr(listener.ImpatientProtocol, "patience", 0.3)
    server = listener.make_server(app.make_app(platform))
    with listener.bound("127.0.0.1", 0) as listening:
        running = threading.Thread(target=server.run, args=([listening],))
        running.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        running.join(30)
    assert not running.is_alive()


def _call(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_calls_are_answered_over_a_connection(port, bearer):
    headers = {**bearer("ann"), "Content-Type": "image/png"}
    status, _, body = _call(port, "POST", "/api/v1/uploads", png(scene(1)), headers)
    assert status == 201 and b'"tagged"' in body
    assert "server" not in {name.lower() for name in _call(port, "GET", "/login")[1]}


@pytest.mark.parametrize("sent", [b"", b"POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\n", b"GET /login HTTP/1.1\r\nX: y"])
def test_half_open_connections_are_closed_and_stop_nobody(port, sent):
    half = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(50)]
    for connection in half:
        connection.sendall(sent)
    assert _call(port, "GET", "/login")[0] == 200
    assert [connection.recv(1) for connection in half] == [b""] * 50
    for connection in half:
        connection.close()


def test_a_second_half_request_on_a_connection_is_not_waited_for_either(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /static/platform.js HTTP/1.1\r\nHost: x\r\n\r\nGET /log")
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 200")


def test_headers_without_end_are_cut_off(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /login HTTP/1.1\r\nX: " + b"y" * 100_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_place_that_is_taken_is_an_error(port):
    with pytest.raises(OSError):
        listener.bound("127.0.0.1", port).close()


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_number_that_is_no_port_is_told(port):
    with pytest.raises(OSError, match=f"{port} is no port"):
        listener.bound("127.0.0.1", port).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_peace_when_it_is_told_to(number):
    code = """if True:
        from starlette.applications import Starlette
        from faketagger.serving.web import listener
        listener.serve(Starlette(), "127.0.0.1", 0, None, None, lambda where: print(where, flush=True))
        print("ended")
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as running:
        port = int(running.stdout.readline().rsplit(":", 1)[1])
        assert _call(port, "GET", "/")[0] == 404
        running.send_signal(number)
        assert running.communicate(timeout=60)[0] == "ended\n" and running.returncode == 0
