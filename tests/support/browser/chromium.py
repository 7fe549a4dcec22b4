"""Headless Chromium, driven over a pipe: no port, no WebSocket, no other package.

With ``--remote-debugging-pipe``, Chromium reads commands from descriptor 3 and writes answers and
events to descriptor 4: JSON, each ended by a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from tests.support import PATIENCE_S

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
_OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
_END: Final = b"\0"


class BrowserError(Exception):
    """The browser refused a command, or a script of a test threw."""


class Chromium:
    """A browser; use it as a context manager. ``new_page`` opens a tab."""

    def __init__(self, folder: Path, *options: str) -> None:
        """Start it with its profile in a folder."""
        assert CHROMIUM is not None
        self._last_id = 0
        self._unread = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # The descriptors have to be 3 and 4, whatever numbers the pipes have here.
        command = 'exec "$@" 3<&"$0" 4>&"${BROWSER_OUT}"'
        self._process = subprocess.Popen(
            [
                *("bash", "-c", command, str(to_read), CHROMIUM, *_OPTIONS, *options),
                *(f"--user-data-dir={folder / 'profile'}", "about:blank"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_read, to_write),
            env=os.environ | {"BROWSER_OUT": str(to_write)},
        )
        os.close(to_read)
        os.close(to_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def new_page(self, *, width: int = 1_280, height: int = 800) -> Page:
        """Open a tab with a session storage of its own."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        options = {"targetId": target, "flatten": True}
        return Page(self, self.call("Target.attachToTarget", options)["sessionId"], width, height)

    def listen(self, session: str, listener: Callable[[str, dict[str, Any]], None]) -> None:
        """Call a listener with the method and the parameters of each event of a session."""
        self._listeners[session] = listener

    def call(
        self, method: str, params: Mapping[str, object] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """Send a command and return its result.

        Raises:
            BrowserError: the browser refuses it.
        """
        self._last_id += 1
        number = self._last_id
        message: dict[str, object] = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + _END
        while data:
            data = data[os.write(self._to, data) :]
        deadline = time.monotonic() + PATIENCE_S
        while number not in self._answers:
            self._read(deadline)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return answer["result"]

    def listen_for(self, duration_s: float) -> None:
        """Take the events that come within a time."""
        deadline = time.monotonic() + duration_s
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._from], [], [], left)[0]:
                self._read(deadline + PATIENCE_S)

    def _read(self, deadline: float) -> None:
        assert time.monotonic() < deadline, "the browser does not answer"
        if not select.select([self._from], [], [], 1.0)[0]:
            return
        data = os.read(self._from, 1 << 20)
        assert data, "the browser ended"
        *messages, self._unread = (self._unread + data).split(_END)
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            elif listener := self._listeners.get(message.get("sessionId", "")):
                listener(message["method"], message["params"])


class Page:
    """A tab.

    Attributes:
        problems: what the browser said on its console: errors, and violations of the policy.
        sent: the method and the address of each request.
    """

    def __init__(self, browser: Chromium, session: str, width: int, height: int) -> None:
        self.problems: list[str] = []
        self.sent: list[tuple[str, str]] = []
        self._browser = browser
        self._session = session
        browser.listen(session, self._heard)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    @property
    def requests(self) -> list[str]:
        """The addresses that the page asked for."""
        return [url for _, url in self.sent]

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol to this tab."""
        return self._browser.call(method, params, self._session)

    def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Give the window a size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_phone,
        )

    def prefer(self, scheme: str) -> None:
        """Let the system prefer ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def throttle(
        self, *, latency_s: float = 0, bytes_s: float = -1, is_offline: bool = False
    ) -> None:
        """Give the network a latency and a rate (negative: no limit), or take it away."""
        self.call(
            "Network.emulateNetworkConditions",
            offline=is_offline,
            latency=1_000 * latency_s,
            downloadThroughput=bytes_s,
            uploadThroughput=bytes_s,
        )

    def open(self, url: str) -> None:
        """Go to an address, and wait until its document is there."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Return the value of an expression, or of the promise that it is.

        Raises:
            BrowserError: it threw.
        """
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Run an expression until it is true; return its value."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                value = self.run(script)
            except BrowserError as ex:  # the page is being replaced by another
                value, error = None, ex
            else:
                error = None
            if value or value == {}:  # an element comes as an empty object
                return value
            if time.monotonic() > deadline:
                shown = self.run("document.body.innerText.slice(0, 2000)")
                raise AssertionError(f"waited for {script}: {error or ''}\n{shown}")
            time.sleep(0.03)

    def text(self, selector: str = "body") -> str:
        """Return the text that is seen in an element."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def wait_for_text(self, text: str, selector: str = "body") -> None:
        """Wait until an element shows a text."""
        found = f"document.querySelector({json.dumps(selector)})?.innerText"
        self.wait_for(f"{found}?.includes({json.dumps(text)})")

    def click(self, label: str, scope: str = "body") -> None:
        """Click what has a label: a button, a link or a tab, as a person would find it."""
        find = (
            f"[...document.querySelector({json.dumps(scope)}).querySelectorAll("
            "'button, a, summary, input')].find((e) => e.checkVisibility() && !e.disabled &&"
            f" [e.textContent.trim(), e.ariaLabel].includes({json.dumps(label)}))"
        )
        self.wait_for(f"Boolean({find})")
        self.run(f"{find}.click()")

    def fill(self, label: str, text: str) -> None:
        """Replace what a field holds, by its label, as typing does."""
        find = (
            "[...document.querySelectorAll('input, textarea, select')]"
            ".find((e) => e.checkVisibility() && [e.ariaLabel,"
            " e.closest('label')?.querySelector('.field-label')?.textContent]"
            f".includes({json.dumps(label)}))"
        )
        self.wait_for(f"Boolean({find})")
        self.run(
            f"(() => {{ const e = {find}; e.focus(); e.value = {json.dumps(text)};"
            " for (const name of ['input', 'change'])"
            " e.dispatchEvent(new Event(name, {bubbles: true})); })()"
        )

    def choose(self, label: str, path: Path) -> None:
        """Choose a file in the field with a label."""
        find = f"document.querySelector('input[type=file][aria-label={json.dumps(label)}]')"
        self.wait_for(f"Boolean({find})")
        found = self.call("Runtime.evaluate", expression=find)["result"]["objectId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], objectId=found)

    def drop(self, selector: str, path: Path) -> None:
        """Drag a file over an element and let it go there."""
        box = f"document.querySelector({json.dumps(selector)})"
        self.wait_for(f"Boolean({box})")
        x, y = self.run(
            f"(() => {{ const e = {box}; e.scrollIntoView({{block: 'center'}});"
            " const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, key: str, *, with_control: bool = False) -> None:
        """Press a key of the keyboard."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32}.get(key)
        more: dict[str, object] = {"windowsVirtualKeyCode": code, "code": key} if code else {}
        if with_control:
            more["modifiers"] = 2
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **more)

    def type(self, text: str) -> None:
        """Type a text over what is selected where the focus is."""
        self.call("Input.insertText", text=text)

    def spoken(self) -> list[str]:
        """Return what a screen reader finds: role and name of each thing, in their order."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            f"{node['role']['value']} {node.get('name', {}).get('value', '')}".strip()
            for node in nodes
            if not node["ignored"]
        ]

    def screenshot(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """Close the tab."""
        self.call("Page.close")

    def _heard(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.problems.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.sent.append((params["request"]["method"], params["request"]["url"]))
