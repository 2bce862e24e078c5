"""The documentation site in a real browser: its links lead somewhere, its scripts run, its search finds."""

import functools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from browser import opened_browser

CONFIG = Path(__file__).parents[1] / "docs/mkdocs/mkdocs.yml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site: the one of the environment variable SITE, or one that is built now."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"])
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="the dependency group `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(CONFIG), "-d", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as browser:
        yield browser


class _Page(HTMLParser):
    """The links of a page, and the ids that they may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is not None and (name == "id" or (tag == "a" and name == "name")):
                self.ids.add(value)
            elif value is not None and name in {"href", "src"}:
                self.links.append(value)


def test_no_link_is_broken(folder: Path) -> None:
    """Each link within the site leads to a file, and to a heading that is in it."""
    pages = {path.relative_to(folder).as_posix(): _Page(path.read_text()) for path in folder.rglob("*.html")}
    assert len(pages) > 40
    broken = []
    for name, page in pages.items():
        for link in page.links:
            target, fragment = urldefrag(urljoin(f"/{name}", link))
            if urlsplit(target).scheme or name == "404.html":
                continue
            path = unquote(target.lstrip("/"))
            path = f"{path}index.html" if path.endswith("/") or not path else path
            known = pages.get(path)
            is_there = (folder / path).is_file() if known is None else unquote(fragment) in known.ids
            if not is_there:
                broken.append(f"{name}: {link}")
    assert not broken


def test_every_page_opens_without_an_error(browser: Any, folder: Path, url: str) -> None:
    """No script fails, everything that a page loads is there, and nothing is loaded from elsewhere."""
    problems: list[str] = []

    def note(problem: str, *, is_one: bool = True) -> None:
        if is_one:
            problems.append(f"{page.url}: {problem}")

    page = browser.new_page()
    page.on("pageerror", lambda error: note(str(error)))
    page.on("console", lambda message: note(message.text, is_one=message.type == "error"))
    page.on("request", lambda request: note(request.url, is_one=not request.url.startswith((url, "data:"))))
    page.on("requestfailed", lambda request: note(request.url, is_one=not _left_early(request)))
    page.on("response", lambda response: note(response.url, is_one=response.status >= 400))
    # The index of the search takes a second for each page, and has a test of its own.
    empty = {**json.loads((folder / "search/search_index.json").read_text()), "docs": []}
    page.route("**/search_index.json", lambda route: route.fulfill(json=empty))
    for path in sorted(folder.rglob("*.html")):
        if path.name != "404.html":
            page.goto(url + path.relative_to(folder).as_posix(), wait_until="load")
            assert page.locator("h1").first.inner_text()
    page.close()
    assert not problems


def _left_early(request: Any) -> bool:
    """Return whether the request failed because the next page was opened."""
    return "ERR_ABORTED" in (request.failure or "")


def test_the_search_finds_a_method(browser: Any, url: str) -> None:
    """Who types `cancel_many` is led to its documentation."""
    page = browser.new_page()
    page.goto(url)
    page.keyboard.press("/")
    page.keyboard.type("cancel_many")
    result = page.locator(".md-search-result__link", has_text=re.compile("cancel_many")).first
    result.wait_for(timeout=30_000)
    result.click()
    page.wait_for_url(re.compile("reference|how-to|tutorials"))
    assert "cancel_many" in page.locator("article").inner_text()
    page.close()


def test_a_narrow_page_does_not_scroll_sideways(browser: Any, url: str) -> None:
    """On a telephone, pages with wide tables and code fit the screen."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    for name in ("index.html", "how-to/from-planet.html", "reference/methods.html"):
        page.goto(url + name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.close()
