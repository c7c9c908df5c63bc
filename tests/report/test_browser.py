"""What the tests of the page rely on: the browser reaches nothing, and tells what a page did."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.browser import Browser

HEAD = '<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'


def opened(browser: Browser, folder: Path, body: str) -> Path:
    """Open a page made of `body`."""
    page = folder / "page.html"
    page.write_text(HEAD + body, encoding="utf-8")
    browser.open(page)
    return page


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


def test_a_quiet_page_asks_for_itself_alone(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, tmp_path, "<p>λ")
    assert browser.run("return document.querySelector('p').textContent") == "λ"
    assert browser.errors() == []
    assert browser.requests() == [page.as_uri()]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<script>undefined_name()</script>", "undefined_name is not defined"),
        ("<script>console.error('wrong')</script>", "wrong"),
        ("<script>Promise.reject(new Error('later'))</script>", "later"),
        ("<img src='none.png'>", "ERR_FILE_NOT_FOUND"),
        (
            "<meta http-equiv='Content-Security-Policy' content='script-src none'><script>1</script>",
            "Content Security Policy",
        ),
    ],
)
def test_errors_are_seen(browser: Browser, tmp_path: Path, body: str, said: str) -> None:
    opened(browser, tmp_path, body)
    (error,) = browser.errors()
    assert said in error


def test_errors_are_told_once(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, "<script>undefined_name()</script>")
    opened(browser, tmp_path, "<p>quiet")
    assert browser.errors() == []


@pytest.mark.parametrize(
    "body",
    [
        "<img src='{url}/asked'>",
        "<script src='{url}/asked'></script>",
        "<style>body {{ background: url({url}/asked) }}</style>",
        "<iframe src='{url}/asked'></iframe>",
        "<script>fetch('{url}/asked').catch(() => 0)</script>",
        "<script>navigator.sendBeacon('{url}/asked')</script>",
    ],
)
def test_a_request_is_seen_and_stays_here(
    browser: Browser, tmp_path: Path, server: tuple[str, list[str]], body: str
) -> None:
    address, asked = server
    for url in (address, "http://example.org"):
        opened(browser, tmp_path, body.format(url=url))
        assert f"{url}/asked" in browser.requests()
    assert asked == []


def test_a_socket_is_seen(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, "<script>new WebSocket('ws://example.org/asked')</script>")
    assert "ws://example.org/asked" in browser.requests()


def test_the_browser_takes_a_size_and_a_preference(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, "<p>")
    for width, dark in ((390, True), (1280, False)):
        browser.look(width, dark=dark)
        found = browser.run("return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]")
        assert found == [width, dark]


def test_a_page_is_pictured_and_printed(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, "<p style='height: 2000px'>")
    browser.look(500)
    browser.picture(tmp_path / "page.png")
    header = (tmp_path / "page.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24]) > 2000) == (500, True)
    assert browser.printed().startswith(b"%PDF-")
