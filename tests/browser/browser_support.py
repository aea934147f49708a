"""Chromium without a window, driven through chromedriver by the WebDriver protocol; nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Optional

CHROMIUM = os.environ.get("HVDSM_CHROMIUM") or shutil.which("chromium")
CHROMEDRIVER = os.environ.get("HVDSM_CHROMEDRIVER") or shutil.which("chromedriver")

QUIET = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]


class Browser:
    """A browser with one window.

    Args:
        folder: an empty directory for its profile.
    """

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM and CHROMEDRIVER
        self.driver = subprocess.Popen(
            [CHROMEDRIVER, "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HOME": str(folder)},
        )
        assert self.driver.stdout
        port = next(
            found.group(1) for found in (re.search(r"successfully on port (\d+)", line) for line in self.driver.stdout) if found
        )
        self.address = f"http://127.0.0.1:{port}"
        arguments = [*QUIET, f"--user-data-dir={folder / 'profile'}"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        asked = {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
        }
        try:
            self.session = self._request("POST", "/session", {"capabilities": {"alwaysMatch": asked}})["sessionId"]
        except BaseException:
            self.driver.kill()
            self.driver.wait()
            raise

    def close(self) -> None:
        """End the browser and its driver."""
        try:
            self._request("DELETE", f"/session/{self.session}")
        finally:
            self.driver.terminate()
            self.driver.wait()
            if self.driver.stdout:
                self.driver.stdout.close()

    def _request(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns in the page."""
        return self._request("POST", f"/session/{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def tell(self, command: str, **parameters: Any) -> Any:
        """Give a command of the browser's own protocol."""
        return self._request("POST", f"/session/{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, page: Path, *, width: int = 1280, dark: bool = False, media: str = "screen", scripts: bool = True) -> None:
        """Open a page afresh; what the one before wrote to the logs is forgotten."""
        self.tell("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._request("POST", f"/session/{self.session}/url", {"url": "about:blank"})
        self.console()
        self.requested()
        self._request("POST", f"/session/{self.session}/url", {"url": page.as_uri()})

    def console(self) -> List[str]:
        """What was written to the console since the last call: errors of scripts, and what the page's policy forbade."""
        return [entry["message"] for entry in self._log("browser")]

    def requested(self) -> List[str]:
        """Addresses that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]

    def _log(self, kind: str) -> List[Dict[str, Any]]:
        found: List[Dict[str, Any]] = self._request("POST", f"/session/{self.session}/se/log", {"type": kind})
        return found

    def photograph(self, path: Path) -> None:
        """Write the whole page as a PNG file, to be looked at."""
        taken = self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))
