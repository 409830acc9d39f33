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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--remote-debugging-port=0", "--window-size=2400,1600")
# The innermost enabled element that says exactly, or else starts with, a text; in the row that starts with another.
FIND = """
((text, row) => {
  const said = e => e.innerText?.trim() ?? '';
  const within = row ? [...document.querySelectorAll('tr')].find(e => said(e).startsWith(row)) : document;
  const all = [...within?.querySelectorAll('button, a, [role], span, div') ?? []].filter(
    e => e.getClientRects().length && !e.closest('[disabled], [aria-disabled=true]'));
  const found = all.findLast(e => said(e) === text) ?? all.findLast(e => said(e).startsWith(text));
  if (!found) return null;
  found.scrollIntoView({block: 'center'});
  const box = found.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
  return found.contains(document.elementFromPoint(x, y)) ? [x, y] : null;  // or something still covers it
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
        """Start loading a page; what is on it comes later, see `wait`."""
        self.call("Page.navigate", url=url)

    def wait(self, script: str, seconds: float = 40) -> Any:
        """Wait until a JavaScript expression is truthy, and return it.

        Raises:
            AssertionError: with the page's text, when it stays falsy.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.1)
        shown = self.run("document.body?.innerText")
        raise AssertionError(f"after {seconds} s still not {script}; the page shows:\n{shown}")

    def wait_for_text(self, *texts: str) -> None:
        """Wait until the page shows all of these texts."""
        self.wait(f"{json.dumps(texts)}.every(text => document.body?.innerText.includes(text))")

    def click(self, text: str, until: str, row: str | None = None, seconds: float = 40) -> None:
        """Press the mouse on the element that says `text`, again if the page was still building and lost it.

        Args:
            text: what the element says. until: JavaScript that is truthy once the click had its effect.
            row: how the table row begins that the element is in.
        """
        find, end = f"{FIND}({json.dumps(text)}, {json.dumps(row)})", time.monotonic() + seconds
        place = self.wait(find, seconds)
        while place is not True:
            time.sleep(0.2)
            if (settled := self.run(find)) != place:  # still moving: a dialog that opens is clicked beside, and closes
                place = settled or self.wait(f"Boolean({until}) || {find}", end - time.monotonic())
                continue
            for kind, button in (("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")):
                self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], clickCount=1, button=button)
            with suppress(AssertionError):
                self.wait(until, 3)
                return
            place = self.wait(f"Boolean({until}) || {find}", end - time.monotonic())

    def screenshot(self, path: Path) -> None:
        """What the tab shows, as a PNG."""
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
        with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None, ping_interval=None) as connection:
            yield Page(connection)
    finally:
        end_group(process)


def end_group(process: subprocess.Popen, patience: float = 15) -> None:
    """Ask a process that leads its own session, and all its children, to end; kill what is left of them."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(patience)


def _wait_for_port(file: Path, process: subprocess.Popen, seconds: float = 60) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.1)
    raise RuntimeError(f"{CHROMIUM} did not open its DevTools port (exit status {process.poll()})")
