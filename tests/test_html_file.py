"""`export --html`: one file that a browser opens from disk, without a server and without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument.analysis.tree import traces
from instrument.store.blobs import Blobs
from instrument.views import html
from tests.browser import Browser
from tests.recorded import MS, NOON, TRACE, log, review, span, write
from tests.test_page import FAILED, HOSTILE, complaints, failed, hostile, names, row

__all__ = ["complaints"]

FETCHES = re.compile(r"""(?:src|href)=["']?(?!data:|#)[\w/.:]|@import|url\((?!data:)""")


def save(place: Path, *records: Any, blobs: Path | None = None, trace_id: str = TRACE) -> Path:
    """The trace in the records as a file."""
    trace = next(trace for trace in traces(records) if trace.trace_id == trace_id)
    place.write_bytes(b"".join(html.pieces(trace, blobs)))
    return place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save(tmp_path / "review.html", *review())


def test_the_file_fetches_nothing(file: Path) -> None:
    """Everything is inside, and the policy forbids the rest."""
    text = file.read_text()
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert (None, True, False) == (
        FETCHES.search(markup),
        "default-src 'none'" in policy[1],
        "connect-src" in policy[1],
    )


def test_no_two_modules_of_the_page_have_a_name_in_common() -> None:
    """They are one script in the file."""
    names = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
    found = [name for module in html.PAGE.glob("*.js") for name in names.findall(module.read_text())]
    assert [] == [name for name in set(found) if found.count(name) > 1]


def test_every_module_is_in_the_file(file: Path) -> None:
    """None was forgotten, and none imports from elsewhere."""
    text = file.read_text()
    firsts = [module.read_text().splitlines()[0] for module in html.PAGE.glob("*.js")]
    assert ([], None) == (
        [first for first in firsts if first not in text],
        re.search(r"^(import|export) ", text, re.MULTILINE),
    )


def test_markup_in_names_stays_text(tmp_path: Path) -> None:
    """Also in the title, which is written before any script runs."""
    text = save(tmp_path / "a.html", *hostile(), trace_id=HOSTILE).read_text()
    assert (1, False) == (text.count("<title>"), "<img src=x" in text)


@pytest.mark.parametrize("name", [r"C:\users\1", r"\g<0>"])
def test_backslashes_in_names_stay_text(tmp_path: Path, name: str) -> None:
    """The title takes none of them for a part of a pattern."""
    text = save(tmp_path / "a.html", span(1, name=name)).read_text()
    assert f"<title>{name.replace('<', '&lt;').replace('>', '&gt;')} · instrument</title>" in text


def test_the_same_trace_gives_the_same_file(tmp_path: Path) -> None:
    """Byte for byte."""
    assert save(tmp_path / "a.html", *review()).read_bytes() == save(tmp_path / "b.html", *review()).read_bytes()


class TestInBrowser:
    """What the file shows."""

    pytestmark = pytest.mark.usefixtures("complaints")

    @pytest.fixture
    def page(self, browser: Browser, file: Path) -> Iterator[Any]:
        with browser.page(file.as_uri()) as page:
            page.locator(".waterfall .rows .row:not([hidden])").first.wait_for()
            yield page

    def test_it_shows_the_run(self, page: Any) -> None:
        """As the server does."""
        assert ["review", "create_plan", "responses gpt-4.1-mini", "iteration"] == names(page)[:4]

    def test_details_are_unpacked_when_asked(self, page: Any) -> None:
        """Each span whole."""
        page.locator(".row.s-error").first.click()
        page.locator(".failure").wait_for()
        assert "No such file" in page.locator(".failure").inner_text()

    def test_contents_are_searched(self, page: Any) -> None:
        """Without a server to ask, and what was logged too."""
        page.keyboard.press("/")
        page.keyboard.type("exampels")
        page.locator(".said", has_text="1 of 15 spans").wait_for()
        assert "read_file" == names(page)[-1]
        page.locator("input[type=search]").fill('"reviewer ready"')
        page.locator(".waterfall .rows .row:not([hidden])").nth(1).wait_for(state="hidden")
        page.locator(".said", has_text="1 of 15 spans").wait_for()
        assert ["review"] == names(page)

    def test_rows_above_what_was_found_do_not_cover_it(self, page: Any) -> None:
        """One below the other, as all rows."""
        page.locator("input[type=search]").fill("status:error")
        page.locator(".said", has_text="1 of 15 spans").wait_for()
        rows = page.locator(".waterfall .rows .row:not([hidden])")
        edges = rows.evaluate_all(
            "rows => rows.map(row => row.getBoundingClientRect()).map(box => [box.top, box.bottom])"
        )
        assert [bottom for _, bottom in sorted(edges)[:-1]] == [top for top, _ in sorted(edges)[1:]]

    def test_every_view_is_there(self, page: Any) -> None:
        """Steps, findings, logs."""
        seen = []
        for key, what in (("2", ".sums"), ("3", ".findings .finding"), ("4", ".logrow:not([hidden])")):
            page.keyboard.press(key)
            page.locator(what).first.wait_for()
            seen.append(page.locator(what).count() > 0)
        assert [True] * 3 == seen

    @pytest.mark.parametrize(
        ("records", "expected"),
        [(failed(), [["Why failed"], ["Why failed", "Why slow"]]), ([span(1, trace_id=FAILED)], [[], []])],
        ids=["failed", "nothing to say"],
    )
    def test_it_says_why(self, browser: Browser, tmp_path: Path, records: list[Any], expected: list[list[str]]) -> None:
        """At once where the run failed, all of it when asked; where there is nothing to say there is nothing to press."""
        with browser.page(save(tmp_path / "a.html", *records, trace_id=FAILED).as_uri()) as page:
            page.locator(".waterfall .label").first.wait_for()
            at_first = page.locator(".why h2").all_inner_texts()
            if page.locator(".whybutton").is_visible():
                page.locator(".whybutton").click()
            assert expected == [at_first, page.locator(".why h2").all_inner_texts()]

    def test_a_sheet_is_printed_whole(self, page: Any) -> None:
        """Not only what was in sight; what the filter counts are spans of the time line, not of the sheet."""
        page.set_viewport_size({"width": 800, "height": 300})
        page.locator("input[type=search]").fill("status:error")
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        page.locator(".said", has_text="1 of 15 spans in the time line").wait_for()
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollHeight") > 500

    def test_times_are_those_that_the_terminal_tells(self, browser: Browser, tmp_path: Path) -> None:
        """To the millisecond, and where the reader has another time than UTC it says so."""
        root, said = span(1, start_ns=NOON + MS * 7 // 10), log(0, 1, time_ns=NOON + MS * 16 // 10)
        with browser.page(save(tmp_path / "a.html", root, said).as_uri(), timezone_id="America/New_York") as page:
            page.locator("#tab-logs").click()
            began, moment = page.locator(".runhead .when").inner_text(), page.locator(".logrow time").first.inner_text()
            assert ("2026-11-23 07:00:00 GMT-5", "07:00:00.001") == (began, moment)

    def test_times_that_nobody_knows_are_not_told(self, browser: Browser, tmp_path: Path) -> None:
        """Of a conversation that was taken in only the order is known: no view makes up how long its calls took."""
        untimed = {"attributes": {"instrument.times": "order"}, "duration_ns": 1000}
        file = save(tmp_path / "a.html", span(1, kind="agent", **untimed), span(2, 1, kind="tool", **untimed))
        with browser.page(f"{file.as_uri()}#/run/{TRACE}/{2:016x}") as page:
            page.locator(".panel .section").first.wait_for()
            told = page.locator("main").inner_text()
            page.keyboard.press("2")
            page.locator(".sums").first.wait_for()
            told += page.locator(".stage").inner_text()
            assert (True, []) == ("not known, only the order" in told, re.findall(r"\d\W?[nµm]?s\b", told))

    def test_a_link_leads_to_a_span(self, browser: Browser, file: Path) -> None:
        """In a file as well."""
        with browser.page(f"{file.as_uri()}#/run/{TRACE}/{2:016x}") as page:
            page.locator(".panel .section, .panel .facts").first.wait_for()
            assert "create_plan" == page.locator(".panel h2").inner_text()

    def test_hostile_text_is_shown_as_text(self, browser: Browser, tmp_path: Path) -> None:
        """Nothing of it runs."""
        with browser.page(save(tmp_path / "a.html", *hostile(), trace_id=HOSTILE).as_uri()) as page:
            page.locator(".waterfall .rows .row:not([hidden])").nth(1).click()
            page.locator(".panel .section").first.wait_for()
            assert "<script>alert(1)</script>" in page.locator(".panel").inner_text()

    def test_values_that_lie_apart_are_inside(self, browser: Browser, tmp_path: Path) -> None:
        """A file that is sent away has no folder beside it."""
        reference = Blobs(tmp_path / "blobs").put([b'"' + b"long " * 9000 + b'the end"'])
        kept = span(1, output={"$blob": reference, "bytes": 45_009, "head": "long ", "tail": "the end"})
        file = save(tmp_path / "a.html", kept, blobs=tmp_path / "blobs")
        with browser.page(file.as_uri()) as page:
            row(page, "span1").click()
            page.get_by_text("Load the whole value").click()
            page.locator(".stored .more", has_text="letters").click()
            page.get_by_text("the end").wait_for()

    def test_values_that_lie_apart_are_searched(self, browser: Browser, tmp_path: Path) -> None:
        """As a part of the span that refers to them."""
        reference = Blobs(tmp_path / "blobs").put([b'"' + b"hay " * 9000, b"the needle", b" hay" * 9000 + b'"'])
        kept = span(2, 1, output={"$blob": reference, "bytes": 72_000, "head": "hay", "tail": "hay"})
        file = save(tmp_path / "a.html", span(1), kept, blobs=tmp_path / "blobs")
        with browser.page(f'{file.as_uri()}#/run/{TRACE}?q="the+needle"') as page:
            page.locator(".said", has_text="1 of 2 spans").wait_for()


def test_what_has_gone_is_not_in_the_file(tmp_path: Path) -> None:
    """The record has its beginning and end."""
    lost = span(1, output={"$blob": "sha256:" + "0" * 64, "bytes": 9, "head": "a", "tail": "b"})
    assert 'id="blob-0"' not in save(tmp_path / "a.html", lost, blobs=tmp_path).read_text()


def test_the_verb_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`instrument export --html FILE`."""
    from instrument.cli.main import main

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", *review())
    assert (0, "out.html\n", "<!doctype html>") == (
        main(["export", "--html", "out.html", "a.jsonl"]),
        capsys.readouterr().out,
        Path("out.html").read_text()[:15],
    )
