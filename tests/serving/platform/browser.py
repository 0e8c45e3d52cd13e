"""Headless Chromium, by its own protocol over a pipe: pages are opened, keys pressed, and what is there is asked."""

import json
import os
import shutil
import subprocess
import time

KEYS = {"Tab": ("Tab", 9, None), "Enter": ("Enter", 13, "\r")}
_WAIT_SECONDS = 60


def program():
    """Where Chromium is; None where it is not."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


class Browser:
    """One page. `errors` is what the page's console and its content policy have complained of."""

    def __init__(self, profile):
        there, self._write = os.pipe()
        self._read, back = os.pipe()

        def connect():  # Chromium reads 3 and writes 4.
            kept = os.dup(there), os.dup(back)
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        command = [program(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command += [f"--user-data-dir={profile}", "--no-first-run", "--disable-background-networking", "about:blank"]
        self._process = subprocess.Popen(
            command, preexec_fn=connect, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(there), os.close(back)
        self._buffer, self._number, self._session, self.errors = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def close(self):
        self._session = None
        self.call("Browser.close")
        self._process.wait(30)
        os.close(self._read), os.close(self._write)

    def call(self, method, **parameters):
        """What a method of the protocol returns."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, address):
        """Goes to an address and waits until it is there."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def ask(self, expression):
        """What an expression of JavaScript gives."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression):
        """Waits until an expression is true."""
        end = time.monotonic() + _WAIT_SECONDS
        while not self.call("Runtime.evaluate", expression=expression)["result"].get("value"):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.05)

    def press(self, key):
        """Presses a key of KEYS."""
        name, code, text = KEYS[key]
        given = {"key": name, "code": name, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        self.call("Input.dispatchKeyEvent", type="keyDown", **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name, windowsVirtualKeyCode=code)

    def tab_to(self, selector):
        """Presses Tab until an element has the focus."""
        for _ in range(30):
            if self.ask(f"document.activeElement.matches({json.dumps(selector)})"):
                return
            self.press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    def type(self, text):
        """Types into what has the focus."""
        self.call("Input.insertText", text=text)

    def choose(self, selector, path):
        """Chooses a file in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def resize(self, width, height):
        """Makes the window of a size, as a telephone's where it is narrow."""
        wanted = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **wanted)

    def _next(self):
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 16)
            assert part, "the browser has gone"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(message)
        about = found.get("params", {})
        if found.get("method") == "Runtime.exceptionThrown" or about.get("entry", {}).get("level") in (
            "warning",
            "error",
        ):
            self.errors.append(about)
        return found
