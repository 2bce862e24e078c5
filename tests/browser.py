"""A headless Chromium: that of the system, driven by Playwright, which downloads none of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Open the browser, or skip the test where it is not installed: `apt-get install chromium`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed: none of {', '.join(_NAMES)} is found")
    with sync_api.sync_playwright() as playwright:
        # Without its sandbox, which root and containers do not have; it opens pages of this machine only.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
