"""A headless Chromium driven over its DevTools protocol: enough to open a page, click, type and look."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--remote-debugging-port=0", "--window-size=1800,1200")
# The innermost visible element whose text is exactly, or starts with, what is asked for.
FIND = """
(text => {
  const shown = e => e.getClientRects().length > 0 && !e.closest('[aria-disabled=true], [disabled]');
  const all = [...document.querySelectorAll('button, a, [role], span, div')].filter(shown);
  const said = e => e.innerText?.trim();
  return all.findLast(e => said(e) === text) ?? all.findLast(e => said(e)?.startsWith(text)) ?? null;
})
"""


class Page:
    """One open tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._ids = connection, itertools.count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One protocol command and its answer; events in between are dropped."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._connection.recv(timeout=60))).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", script))
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    @property
    def text(self) -> str:
        """Everything the page shows as text, inputs' values left out."""
        return self.run("document.body ? document.body.innerText : ''")

    def wait(self, script: str, seconds: float = 40) -> Any:
        """Wait until a JavaScript expression is truthy, and return it.

        Raises:
            AssertionError: with the page's text, when it stays falsy.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.2)
        raise AssertionError(f"after {seconds} s still not {script}; the page shows:\n{self.text}")

    def wait_for_text(self, *texts: str, seconds: float = 40) -> None:
        """Wait until the page shows all of these texts."""
        self.wait(f"{json.dumps(texts)}.every(t => document.body?.innerText.includes(t))", seconds)

    def click(self, text: str, seconds: float = 40) -> None:
        """Press the mouse on the innermost enabled element that says `text`, once there is one."""
        script = f"""(e => {{ if (!e) return null; e.scrollIntoView({{block: 'center'}});
            const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] }})
            ({FIND}({json.dumps(text)}))"""
        x, y = self.wait(script, seconds)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, clickCount=1,
                      button="none" if kind == "mouseMoved" else "left")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def open_browser(profile: Path) -> Iterator[Page]:
    """A tab of a new Chromium that keeps its profile in an empty folder; all its processes end with it."""
    process = subprocess.Popen([CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        port = _wait_for_port(profile / "DevToolsActivePort", process)
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            tab = next(target for target in json.load(answer) if target["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
            yield Page(connection)
    finally:
        end_group(process)


def end_group(process: subprocess.Popen, patience: float = 20) -> None:
    """Ask a process started with `start_new_session` and all its children to end; kill what is left."""
    for number, seconds in ((signal.SIGINT, patience), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def _wait_for_port(file: Path, process: subprocess.Popen, seconds: float = 60) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.1)
    raise RuntimeError(f"{CHROMIUM} did not open its DevTools port (exit status {process.poll()})")
