"""Takes the pictures of the page that the README shows: `make screenshots`.

Real reviews by the reference agent are recorded into a folder of their own, beside made-up runs of the days before,
and a real browser shows them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.made_traces import write  # noqa: E402
from tests.browser import FLAGS, executable, serving  # noqa: E402

SIZE = {"width": 1280, "height": 720}


def record(folder: Path) -> None:
    """Runs to look at: those of some days, and two real reviews."""
    write(folder, 260, 40)
    environment = {**os.environ, "INSTRUMENT_DIR": str(folder), "INSTRUMENT_SINKS": "jsonl"}
    for files in ("examples/review/shop.py", "examples/review"):
        review(files, HERE.parent, environment)


def record_pair(folder: Path) -> None:
    """Two real reviews of the same files, of which one has changed meanwhile."""
    environment = {**os.environ, "INSTRUMENT_DIR": str(folder), "INSTRUMENT_SINKS": "jsonl"}
    environment["PYTHONPATH"] = str(HERE.parent)
    shutil.copytree(HERE.parent / "examples/review", folder.parent / "shop")
    review("shop", folder.parent, environment)
    changed = folder.parent / "shop/shop.py"
    changed.write_text(f"# What a shop needs to know.\n{changed.read_text()}")
    review("shop", folder.parent, environment)


def review(files: str, place: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "agent", "review", files]
    subprocess.run(command, cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def page(browser: Any, address: str, scheme: str, **size: Any) -> Iterator[Any]:
    context = browser.new_context(viewport=SIZE, color_scheme=scheme, **size)
    shown = context.new_page()
    shown.goto(address)
    shown.locator(".runname").first.wait_for()
    yield shown
    context.close()


def take(browser: Any, address: str) -> None:
    """All pictures, dark and light."""
    for scheme in ("light", "dark"):
        with page(browser, address, scheme) as shown:
            save(shown, f"page-runs-{scheme}")
            shown.locator(".runs .rows .row", has_text="inventory.py, money.py").first.click()
            shown.locator(".waterfall .row.k-llm:not([hidden]) .label", has_text="Reviewer.think").nth(1).click()
            shown.locator(".panel .section").first.wait_for()
            save(shown, f"page-run-{scheme}")
            shown.keyboard.press("s")
            shown.locator(".chart").wait_for()
            save(shown, f"page-costs-{scheme}")


def take_pair(browser: Any, address: str) -> None:
    """The comparison of the two, chosen by keys."""
    for scheme in ("light", "dark"):
        with page(browser, address, scheme) as shown:
            for key in ("j", "d", "j", "d"):
                shown.keyboard.press(key)
            shown.locator(".diffrows .label").first.wait_for()
            save(shown, f"page-compare-{scheme}")


def save(shown: Any, name: str) -> None:
    shown.mouse.move(SIZE["width"] - 2, 2)
    shown.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shown.screenshot(path=HERE / f"{name}.png")
    print(f"docs/{name}.png")


def main() -> None:
    from playwright.sync_api import sync_playwright

    found = executable()
    if found is None:
        sys.exit("there is no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as place:
        folder, pair = Path(place) / ".instrument", Path(place) / "pair/.instrument"
        record(folder)
        record_pair(pair)
        with serving(folder) as address, serving(pair) as other, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
            take(browser, address)
            take_pair(browser, other)
            browser.close()


if __name__ == "__main__":
    main()
