"""Chromium without a window and without a network, as a reader of a page has it."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromedriver")
"""Of Debian's packages chromium and chromium-driver."""
A4 = {"paperWidth": 210 / 25.4, "paperHeight": 297 / 25.4}
"""In inches."""

_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    # No name leads anywhere, so that what the emulation below does not reach stays here as well.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--hide-scrollbars",
    "--window-size=1280,900",
)
_OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


@contextmanager
def started() -> Iterator["Browser"]:
    """A browser with a new profile; both are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="dither-browser-", ignore_cleanup_errors=True) as folder:
        driver = _driver(Path(folder))
        try:
            yield Browser(driver, downloads=Path(folder) / "downloads")
        finally:
            driver.quit()


class Browser:
    """One tab of Chromium.

    Args:
        driver: selenium's; the network of its tab is turned off.
        downloads: a folder, made here, for the files that a page saves.
    """

    def __init__(self, driver: Any, *, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads
        downloads.mkdir()
        self.command("Network.enable")
        self.command("Network.emulateNetworkConditions", **_OFFLINE)
        self.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def command(self, name: str, **values: Any) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    def open(self, page: Path) -> None:
        """Open a file, and forget what the page before it did."""
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self._log(log)
        self.driver.get(page.absolute().as_uri())

    def run(self, script: str, *values: Any) -> Any:
        """What a script returns; `values` are its `arguments`."""
        return self.driver.execute_script(script, *values)

    def wait(self, script: str, *values: Any, seconds: float = 600) -> Any:
        """What a script returns once that is something; TimeoutError where it never is."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(script, *values)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds:g} s it is still {found!r}: {script.strip()}")
            time.sleep(0.05)
        return found

    def errors(self) -> list[str]:
        """The errors on the console since this was asked last: exceptions, breaches of the policy, loads."""
        return [row["message"] for row in self._log("browser") if row["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """The addresses that were asked for since this was asked last, answered or not."""
        found = []
        for row in self._log("performance"):
            event = json.loads(row["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                found.append(event["params"]["request"]["url"])
            elif event["method"] == "Network.webSocketCreated":
                found.append(event["params"]["url"])
        return found

    def _log(self, name: str) -> list[dict[str, Any]]:
        self.run("return 0")  # what the page did until now stands in the log once it has answered
        found: list[dict[str, Any]] = self.driver.get_log(name)
        return found

    def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Take a size, in CSS pixels, and what the reader's system prefers."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, file: Path) -> None:
        """Save the whole page as a PNG, also what lies below the window."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        found = self.command("Page.captureScreenshot", clip={**size, "scale": 1}, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))

    def printed(self) -> bytes:
        """The page as a PDF on A4, with backgrounds as a reader's printer has them: without."""
        return base64.b64decode(self.command("Page.printToPDF", **A4)["data"])


def _driver(folder: Path) -> Any:
    # Nothing is looked up or reported over the network, whatever else selenium may want.
    os.environ.update(SE_OFFLINE="true", SE_AVOID_STATS="true")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    chromium, chromedriver = (shutil.which(program) for program in PROGRAMS)
    options = ChromeOptions()
    options.binary_location = chromium or ""
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium does not start as root with one
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(executable_path=chromedriver, log_output=subprocess.DEVNULL)
    return Chrome(options=options, service=service)
