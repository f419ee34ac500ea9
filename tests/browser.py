"""A real browser for tests: the Chromium that is installed, headless and without network.

Where there is none a test is skipped; in CI, which installs it (.ci/run), that is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.waiting import LIMIT_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The browser; the test that asks for it is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: .ci/run installs it by apt, as root")
        pytest.skip("no Chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    # Without a user namespace, as root or in a container, Chromium has no sandbox of its own; it opens our pages alone.
    options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=options, timeout=1000 * LIMIT_SECONDS)
        yield browser
        browser.close()
