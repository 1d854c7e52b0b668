"""A small client of Chromium's DevTools protocol over a pipe: no port, no further package.

Comes in: a file to open, keys and clicks. Goes out: what scripts evaluate to, and whatever the page
complained about or asked the network for. https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds after which a browser that does not answer has failed."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-component-update", "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip
"""Of a browser that may run as root and reaches nobody."""
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40,
        "ArrowLeft": 37, "ArrowRight": 39}  # fmt: skip
Message = dict[str, Any]


def unavailable() -> str | None:
    """Why there is no browser here, or None."""
    return None if shutil.which("chromium") else "needs Debian's chromium"


def _pipe() -> tuple[int, int]:
    """Both ends above the numbers 3 and 4, which are Chromium's."""
    ends = os.pipe()
    above = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return above[0], above[1]


class Browser:
    """A headless Chromium; `close` ends it."""

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        asked, self._ask = _pipe()
        self._answer, answered = _pipe()
        flags = [*FLAGS, f"--user-data-dir={self._profile.name}"]
        script = f'exec "$@" 3<&{asked} 4>&{answered}'
        self._chromium = subprocess.Popen(
            ["/bin/bash", "-c", script, "bash", "chromium", *flags],
            pass_fds=(asked, answered),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(asked)
        os.close(answered)
        self._sent = 0
        self._buffer = b""
        self.events: list[Message] = []

    def close(self) -> None:
        """End the browser and remove its profile."""
        self.call("Browser.close")
        try:
            self._chromium.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._chromium.kill()
            self._chromium.wait()
        os.close(self._ask)
        os.close(self._answer)
        self._profile.cleanup()

    def call(self, method: str, session: str = "", **parameters: object) -> Message:
        """Ask for something, and wait for the answer; events meanwhile are kept."""
        self._sent += 1
        number = self._sent
        message: Message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._ask, data) :]
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            self.events.append(answer)

    def _read(self) -> Message:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answer], [], [], deadline - time.monotonic())
            assert ready, "the browser does not answer"
            part = os.read(self._answer, 1 << 20)
            assert part, "the browser is gone"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(text))

    @contextmanager
    def page(
        self,
        file: Path,
        fragment: str = "",
        *,
        size: tuple[int, int] = (1280, 800),
        dark: bool = False,
    ) -> Iterator[Page]:
        """A new tab that shows a file, with the network off."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, attached["sessionId"])
        try:
            page.open(f"{file.as_uri()}{fragment}", size, dark)
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: object) -> Message:
        """Ask something of this tab."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, address: str, size: tuple[int, int], dark: bool) -> None:
        """Load an address, and return when all of it has run."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.call("Network.emulateNetworkConditions", offline=True, **offline)
        self.resize(*size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """Make the window another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def eval(self, expression: str) -> Any:
        """What a script evaluates to."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until a script says so."""
        deadline = time.monotonic() + PATIENCE
        while not self.eval(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"never came true: {expression}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """The text an element shows."""
        return str(self.eval(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, *keys: str, modifiers: int = 0) -> None:
        """Press keys by name; single characters are typed."""
        for key in keys:
            code: Mapping[str, object] = {"windowsVirtualKeyCode": KEYS.get(key, 0), "key": key}
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            down = {"text": text} if text else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", modifiers=modifiers, **code, **down)
            self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **code)

    def click(self, x: float, y: float) -> None:
        """Click at a point of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click_on(self, selector: str) -> None:
        """Click on the middle of an element."""
        x, y = self.eval(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.click(x, y)

    def screenshot(self, target: Path) -> None:
        """Write what is seen as a PNG file, for a person to look at."""
        target.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    @property
    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [
            str(event["params"]["request"]["url"])
            for event in self._events("Network.requestWillBeSent")
        ]

    @property
    def complaints(self) -> list[Message]:
        """Exceptions, console messages, refusals of the content security policy."""
        return [
            event["params"]
            for method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
            for event in self._events(method)
        ]

    def _events(self, method: str) -> Iterator[Message]:
        for event in self._browser.events:
            if event.get("method") == method and event.get("sessionId") == self._session:
                yield event
