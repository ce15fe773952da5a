"""How fast the page is on a run of a hundred thousand spans: `python -m benchmarks.page [--spans N] [--json]`.

A real Chromium, headless, opens the run from a real `instrument serve` that has just been started, and from the file
that `export --html` writes. Times are those of the page's own clock, from the beginning of the navigation until rows are
drawn and keys are answered; of several openings the median is told. `thread` figures are the CPU time of the page's own
thread: what the times come down to when nothing else runs. Memory is what all processes of the browser
hold (proportional set size) beyond what they hold for an empty page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.made_traces import write
from instrument.store.heads import heads
from tests.browser import FLAGS, executable, serving

OPENINGS = 5
SCROLL = """async () => {
  const scroller = document.querySelector(".waterfall");
  const frames = [];
  let last = performance.now();
  for (let step = 0; step < 300; step++) {
    scroller.scrollTop += step % 3 ? 240 : 4000;
    await new Promise((done) => requestAnimationFrame(done));
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""
FILTERS = "performance.getEntriesByName('filter').map((one) => one.duration)"
SHOWN = "performance.getEntriesByName('run shown')[0].startTime"
LIMITS = {"interactive_ms": 2000, "memory_mb": 500, "frame_p95_ms": 50, "filter_ms": 100, "file_ms": 3000}


def main(spans: int) -> dict[str, Any]:
    """The figures."""
    with tempfile.TemporaryDirectory() as place:
        folder = write(Path(place) / "made", spans)
        file = Path(place) / "run.html"
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "instrument", "export", "--html", str(file), str(folder)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        exported = time.perf_counter() - began
        trace = next(head.trace_id for head in heads(folder) if getattr(head, "trace_id", None))
        with sync_playwright() as playwright, _browser(playwright) as browser:
            empty = _held(browser)
            served = _served(browser, folder, trace, empty)
            from_file = [_opened(browser, file.as_uri())[:2] for _ in range(OPENINGS)]
        return {
            "spans": spans,
            "load": os.getloadavg()[0],
            **served,
            "file_ms": statistics.median(took for took, _ in from_file),
            "file_thread_ms": statistics.median(thread for _, thread in from_file),
            "file_mb": file.stat().st_size / 1e6,
            "export_s": exported,
        }


def _served(browser: Any, folder: Path, trace: str, empty: int) -> dict[str, Any]:
    times = []
    with serving(folder) as address:
        for _ in range(OPENINGS - 1):
            times.append(_opened(browser, f"{address}#/run/{trace}")[:2])
        *last, page = _opened(browser, f"{address}#/run/{trace}", keep=True)
        first, *others = [*times, tuple(last)]
        page.keyboard.press("Shift+X")
        page.locator(".waterfall .rows .row:not([hidden])").nth(5).wait_for()
        thread = _Thread(page)
        frames = sorted(page.evaluate(SCROLL))
        frame_thread = thread.worked_ms() / len(frames)
        page.keyboard.press("/")
        for query in ("read_file", "kind:tool dur>0.05", "status:error", "cost>0.01", "-kind:step commit"):
            page.locator("input[type=search]").fill(query)
            page.wait_for_timeout(400)
        filters = page.evaluate(FILTERS)
        held = _held(browser) - empty
        heap = page.evaluate("performance.memory.usedJSHeapSize")
        page.close()
    return {
        "interactive_ms": statistics.median(took for took, _ in others),
        "interactive_thread_ms": statistics.median(thread for _, thread in others),
        "interactive_first_ms": first[0],
        "frame_p50_ms": frames[len(frames) // 2],
        "frame_thread_ms": frame_thread,
        "frame_p95_ms": frames[int(len(frames) * 0.95)],
        "filter_ms": statistics.median(filters),
        "filter_max_ms": max(filters),
        "memory_mb": held / 1e6,
        "heap_mb": heap / 1e6,
    }


def _opened(browser: Any, address: str, keep: bool = False) -> tuple[float, float, Any]:
    """How long it took until the run was there, what the page's thread worked for it, in milliseconds, and the page."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    thread = _Thread(page)
    page.goto(address)
    page.locator(".waterfall .rows .row:not([hidden])").first.wait_for(timeout=60_000)
    took, worked = page.evaluate(SHOWN), thread.worked_ms()
    if not keep:
        page.close()
    return took, worked, page


@contextmanager
def _browser(playwright: Any) -> Iterator[Any]:
    found = executable()
    if found is None:
        sys.exit("there is no Chromium here: apt-get install chromium")
    browser = playwright.chromium.launch(executable_path=found, args=[*FLAGS, "--enable-precise-memory-info"])
    try:
        page = browser.new_page()
        page.goto("about:blank")
        yield browser
    finally:
        browser.close()


class _Thread:
    """The CPU time of a page's thread from now on."""

    def __init__(self, page: Any) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")

    def worked_ms(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) * 1000 for one in metrics if one["name"] == "ThreadTime")


def _held(browser: Any) -> int:
    """Bytes that the browser's processes hold."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return sum(_pss(process["id"]) for process in processes)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _told(figures: dict[str, Any]) -> Iterator[str]:
    yield f"a run of {figures['spans']:,} spans; load of the machine {figures['load']:.1f} on {os.cpu_count()} cores"
    for name, value in figures.items():
        if name not in ("spans", "load"):
            limit = LIMITS.get(name)
            judged = "" if limit is None else f"   {'within' if value < limit else 'OVER'} {limit:,}"
            yield f"{name:<22}{value:>10,.1f}{judged}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    measured = main(given.spans)
    print(json.dumps(measured, indent=1) if given.json else "\n".join(_told(measured)))
