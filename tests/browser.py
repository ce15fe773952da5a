"""A real browser and a real `instrument serve`, for the tests of the page."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.programs import begun

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
for (const name of ["alert", "confirm", "prompt"]) window[name] = () => violations.push(`${name} was called`);
"""


def executable() -> str | None:
    """The Chromium of this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser(NamedTuple):
    """A browser, and what went wrong in its pages so far."""

    chromium: Any
    complaints: list[str]

    @contextmanager
    def page(self, address: str, **options: Any) -> Iterator[Any]:
        """A page of its own at the address. It complains of errors, broken rules and of whatever is asked elsewhere."""
        context = self.chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        try:
            context.set_default_timeout(15_000)
            page = context.new_page()
            page.add_init_script(WATCH)
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("console", lambda said: self._heard(said))
            page.on("request", lambda asked: self._asked(asked.url, address))
            page.goto(address)
            yield page
            self.complaints.extend(page.evaluate("violations"))
        finally:
            context.close()

    def _heard(self, said: Any) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def _asked(self, url: str, address: str) -> None:
        allowed = address.split("#")[0].rsplit("/", 1)[0]
        if not url.startswith((allowed, "data:", "blob:")):
            self.complaints.append(f"the page asked for {url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module; the loop that drives it must not be left to other modules."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make .venv/installed-dev"
    )
    found = executable()
    if found is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield Browser(chromium, [])
        chromium.close()


@contextmanager
def serving(path: Path, *options: str) -> Iterator[str]:
    """The address at which a real `instrument serve` shows the path; it is stopped as a user would stop it."""
    with begun("-m", "instrument", "serve", path, *options) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=20)
        finally:
            server.kill()
