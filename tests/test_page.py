"""The page in a real browser, served by a real server: what each view shows, keys, links, live runs, hostile text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from instrument.model import Event, Failure, Record, Score, Update, Usage
from tests.browser import Browser, serving
from tests.programs import begun
from tests.recorded import MS, NOON, TRACE, as_lines, call, finding, head, log, review, run, span, write
from tests.simulated import Plan, Step, Tool, Twist, simulate

HOSTILE = "bad0" * 8
LONG = "10f6" * 8
BIG = "b165" * 8
POST = 12345678901234567890
"""A number as services give to what is posted: longer than a number of a browser."""
SCRIPTS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    '"><iframe src=javascript:alert(1)>',
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "</script><script>alert(1)</script>",
    "<!--<script>alert(1)-->",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>press</a>",
    "<base href=https://elsewhere.example/><link rel=stylesheet href=//elsewhere.example/x.css>",
    "<style>@import url(https://elsewhere.example/x.css);</style>",
    "![x](https://elsewhere.example/x.png)",
)
UNSEEN = "\x1b[31mred\x1b[0m \u202eevil\u202c\u200b\u2066x\u2069\x07\x00"


OUT_OF_SIGHT = """
const isCutBefore = (one) => {
    const content = document.createRange();
    content.selectNodeContents(one);
    return one.textContent !== "" && content.getBoundingClientRect().left < one.getBoundingClientRect().left - 1;
};
[...document.querySelectorAll("select, .toggle, .runs .rows :is(.c-errors, .c-finds, .c-cost, .c-state), .waterfall .c-usd, .call-in, .waterfall .rows .label, .run .sums tr > :nth-child(-n + 4), .costs .sums tr > :nth-child(-n + 3)")]
    .filter((one) => one.getClientRects().length && (one.matches(".label") ? one.clientWidth < 20 : one.getBoundingClientRect().right > innerWidth || (one.tagName !== "TH" && one.scrollWidth > one.clientWidth + 1) || (one.matches(".c-usd") && isCutBefore(one))))
    .map((one) => `${one.className} ${one.textContent}`)
"""
CHOSEN = """
[...document.querySelectorAll(".diffrows [aria-selected=true]")]
    .flatMap((row) => [row.querySelector(".label").textContent, row.getBoundingClientRect().top])
"""
AT_THE_END = """
(pin) => {
    const place = document.querySelector(pin)?.getBoundingClientRect();
    return place && 1200 < place.left + 0.8 * place.width && place.left + 0.8 * place.width < 1280;
}
"""
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def hostile() -> Iterator[Record]:
    """A trace in which every place that holds text holds markup, escapes and marks that reorder text."""
    text = " ".join(SCRIPTS) + UNSEEN
    here = {"trace_id": HOSTILE, "run": "r2"}
    messages = [
        {"role": text, "content": text},
        {"role": "user", "parts": [{"type": "text", "content": f"```{text}\n{text}\n```"}]},
    ]
    tools = {"type": "tool_call", "name": text, "id": text, "arguments": {text: text}}
    yield run(run="r2", argv=[text], service=text, agent_id=text)
    yield span(
        1,
        name=text,
        kind="agent",
        duration_ns=90 * MS,
        input={text: text},
        attributes={"instrument.label": text},
        **here,
    )
    yield span(2, 1, name=text, kind=text[:40], status="error", output=text, attributes={text: [text, {text: text}]}, events=[Event(text, NOON + 3 * MS, {text: text})], **here)  # fmt: skip
    yield call(3, 1, name=text, input={"messages": messages}, output={"messages": [{"role": "assistant", "parts": [tools]}]}, attributes={"gen_ai.request.model": text, "gen_ai.agent.id": text}, **here)  # fmt: skip
    yield log(
        2, trace_id=HOSTILE, span_id=f"{2:016x}", run="r2", level=text, event=text, message=text, metadata={text: text}
    )
    yield finding(2, trace_id=HOSTILE, run="r2", detector=text, message=text, severity="error")


def big(spans: int = 4000) -> Iterator[Record]:
    """A trace of many spans: more than are in the page at once."""
    here = {"trace_id": BIG, "run": "r4"}
    yield span(1, name="root", kind="agent", start_ns=NOON, duration_ns=60_000 * MS, **here)
    for number in range(2, spans, 4):
        yield span(number, 1, name="step", kind="step", duration_ns=9 * MS, **here)
        for inner in range(number + 1, number + 4):
            yield span(inner, number, name=f"tool{inner % 7}", kind="tool", input={"n": inner}, **here)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording folder with a review, a hostile run, a long text beside money in many digits, and a big run."""
    place = tmp_path_factory.mktemp("served") / ".instrument"
    talk = {"session.id": "talk-7"}
    long = span(1, name="long", trace_id=LONG, run="r3", output="x" * 10_000_000, attributes=talk)
    refused = replace(
        long, span_id=f"{2:016x}", parent_id=long.span_id, status="refused", input={"id": POST}, output=None
    )
    asked = {"trace_id": LONG, "run": "r3", "attributes": {}, "duration_ns": MS}
    guessed = call(3, 1, usd="0.00084", **asked)
    assert guessed.cost is not None
    calls = [
        replace(guessed, cost=replace(guessed.cost, basis="estimated"), events=[Event("retry", NOON + MS)] * 2),
        call(4, 1, usd=None, **{**asked, "usage": Usage(input=100, output=10, web_searches=2, file_searches=1)}),
    ]
    unused = span(3, 1, kind="embedding", status="cancelled", trace_id=LONG, run="r3", duration_ns=MS)
    calls.append(replace(unused, span_id=f"{5:016x}"))
    judged = Score(run="r3", trace_id=LONG, time_ns=NOON, name="thumbs", label="up")
    helpful = replace(judged, name="answer quality", value=0.25, label=None)
    told = [judged, helpful, finding(1, trace_id=LONG, run="r3", detector="late", time_ns=NOON + 6 * MS)]
    late = Update(run="r3", trace_id=LONG, span_id=calls[0].span_id, usage=Usage(input=100, output=10, web_searches=7))
    (place / "events").mkdir(parents=True)
    for name, records in {"a": review(), "b": hostile(), "c": [long, refused, *calls, late, *told], "d": big()}.items():
        write(place / f"events/{name}.jsonl", *records)
    return place


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as found:
        yield found


@pytest.fixture(scope="module")
def runs(browser: Browser, address: str) -> Iterator[Any]:
    """The list of runs, once for all tests of its filter."""
    with browser.page(address) as page:
        page.locator(".runname").first.wait_for()
        yield page


@pytest.fixture
def complaints(browser: Browser) -> Iterator[None]:
    """No page complains of anything: no error, nothing that the policy forbids, nothing asked from elsewhere."""
    browser.complaints.clear()
    yield
    assert [] == browser.complaints


pytestmark = pytest.mark.usefixtures("complaints")


def names(page: Any) -> list[str]:
    """The names of the rows in sight, from the top, when all that was asked for is drawn."""
    page.evaluate(DRAWN)
    rows = page.locator(".table .rows > :not([hidden])")
    placed = rows.evaluate_all(
        "rows => rows.map(row => [Number(row.getAttribute('aria-rowindex')), (row.querySelector('.runname, .label') ?? row).textContent])"
    )
    return [name for _, name in sorted(placed)]


def opened(page: Any, trace: str = TRACE) -> Any:
    """The run, opened from the list of runs."""
    page.locator(f'a[href="#/run/{trace}"]').click()
    page.locator(".waterfall .rows .row:not([hidden])").first.wait_for()
    return page


def row(page: Any, name: str) -> Any:
    return page.locator(".waterfall .rows .row:not([hidden])", has=page.get_by_text(name, exact=True)).first


def chosen(page: Any) -> str:
    page.evaluate(DRAWN)
    return str(page.locator('.rows [aria-selected="true"] .label').inner_text())


# Runs


def test_runs_are_listed_the_latest_first(browser: Browser, address: str) -> None:
    """With what each took, used and cost."""
    with browser.page(address) as page:
        page.locator(".runname").first.wait_for()
        text = page.locator(".runs .rows .row", has=page.locator(f'a[href="#/run/{TRACE}"]')).inner_text()
        assert [True] * 5 == [word in text for word in ("review", "9\u202fs", "15", "7,223", "$0.00240+")], text


def test_a_run_whose_calls_were_refused_says_so(runs: Any) -> None:
    """A call that a budget or the loop breaker refused is no error, and not nothing either."""
    listed = [runs.locator(".runs .rows .row", has=runs.locator(f'a[href="#/run/{trace}"]')) for trace in (BIG, LONG)]
    assert ["", "⊝ 1"] == [one.locator(".c-errors").inner_text() for one in listed]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("examples/", ["review"]),
        ("status:error", []),
        ("kind:step", ["review", "root"]),
        ("model:gpt-4.1-mini", ["review"]),
        ("tool:read_file", ["review"]),
        ("finding:same_call", ["review"]),
        ("cost>0.002", ["review"]),
        ("dur>30", ["root"]),
        ("dur<6ms", ["long"]),
        ("tokens>1k -id:bad0", ["review"]),
        ('"faults"', ["review"]),
        ('score:"thumbs up" age>2s', ["long"]),
        ("age<1m", []),
        ("score<0.5", ["long"]),
        ("score<0.25", []),
        ('score:"answer quality"<=.25', ["long"]),
        ("score:thumbs<1", []),
        ("exampels", ["review"]),
        ("xxxxx", ["long"]),
    ],
)
def test_runs_are_filtered(runs: Any, query: str, expected: list[str]) -> None:
    """By text, in contents too, kind, status, model, tool, cost, duration, finding, score, age."""
    runs.locator("input[type=search]").fill(query)
    runs.wait_for_url(f"**#/runs?q={quote(query, safe='()')}")
    runs.locator(".said", has_text=f"{len(expected)} of 4 runs").wait_for()
    assert expected == names(runs)


def test_what_only_looks_like_a_condition_is_named(runs: Any) -> None:
    """Where nothing fits a mistyped key, the page says that it is none, close below the filter."""
    runs.locator("input[type=search]").fill("review knd:llm")
    notice = runs.locator(".notice", has_text="No run fits the filter. knd:llm was looked for as it stands")
    notice.wait_for()
    assert 200 > notice.bounding_box()["y"]


def test_a_run_that_was_found_by_its_contents_opens_where_they_are(browser: Browser, address: str) -> None:
    """The word goes with it."""
    with browser.page(f"{address}#/runs?q=exampels") as page:
        page.locator(".rows .row:not([hidden]) .runname", has_text="review").click()
        page.locator(".said", has_text="1 of 15 spans").wait_for()
        assert "read_file" == names(page)[-1]


def test_what_runs_get_is_looked_at_too(browser: Browser, tmp_path: Path) -> None:
    """A word that comes while somebody waits for it brings the run into sight."""
    write(tmp_path / "a.jsonl", span(2, 1))
    with serving(tmp_path) as address, browser.page(f"{address}#/runs?q=needle") as page:
        page.locator(".notice", has_text="No run fits the filter.").wait_for()
        with (tmp_path / "a.jsonl").open("ab") as file:
            file.write(as_lines(span(1, output="the needle")))
        page.locator(".rows .row:not([hidden]) .runname", has_text="span1").wait_for()
        assert ["span1"] == names(page)


def test_spans_are_filtered_by_how_they_were_judged(browser: Browser, address: str) -> None:
    """What was said of the run as a whole was said of its root."""
    with browser.page(f"{address}#/run/{LONG}?q=score<0.5") as page:
        page.locator(".said", has_text="1 of 5 spans").wait_for()
        assert ["long"] == names(page)


def test_a_menu_writes_into_the_filter(browser: Browser, address: str) -> None:
    """So that both always say the same."""
    with browser.page(address) as page:
        page.locator(".runname").first.wait_for()
        page.get_by_label("only this tool").select_option("read_file")
        page.locator(".said", has_text="of 4 runs").wait_for()
        assert ("tool:read_file", ["review"]) == (page.locator("input[type=search]").input_value(), names(page))


# One run


def test_a_run_is_a_tree_beside_a_time_line(browser: Browser, address: str) -> None:
    """Each span once, in its place, with a bar where its time was."""
    with browser.page(address) as page:
        opened(page)
        shown = names(page)
        bar = row(page, "create_plan").locator(".bar").bounding_box()
        whole = row(page, "review").locator(".bar").bounding_box()
        assert ["review", "create_plan", "responses gpt-4.1-mini", "iteration"] == shown[:4]
        assert abs(1200 / 9000 - bar["width"] / whole["width"]) < 0.01


def test_a_span_shows_what_it_holds(browser: Browser, address: str) -> None:
    """Tokens and money, and for a call that failed its error."""
    with browser.page(address) as page:
        opened(page)
        row(page, "responses my-local-model").click()
        page.locator(".panel .section").first.wait_for()
        facts = page.locator(".facts").inner_text()
        page.locator(".row.s-error").first.click()
        page.locator(".failure").wait_for()
        failed = page.locator(".failure").inner_text()
        assert (True, True, True) == ("2,003 in, 120 out" in facts, "unpriced" in facts, "No such file" in failed)


@pytest.mark.parametrize(("number", "searches"), [(4, 3), (3, 7)], ids=["with the span", "late"])
def test_searches_are_told_beside_tokens(number: int, searches: int, browser: Browser, address: str) -> None:
    """What the provider's own tools were asked is in the money, so a call says how often."""
    with browser.page(f"{address}#/run/{LONG}/{number:016x}") as page:
        page.locator(".panel .section").first.wait_for()
        assert f"Searches\n{searches}\n" in page.locator(".facts").inner_text()


def test_a_call_that_the_client_sent_again_says_so(browser: Browser, address: str) -> None:
    """In its row of the tree."""
    with browser.page(f"{address}#/run/{LONG}") as page:
        page.locator(".waterfall .brief", has_text="(2 retries)").wait_for()
        assert 1 == page.locator(".waterfall .brief", has_text="retries").count()


def test_a_run_has_as_many_calls_as_the_list_says(browser: Browser, address: str) -> None:
    """Calls of a model, whether they used anything or ended before, for texts or for numbers."""
    with browser.page(address) as page:
        listed = (
            page.locator(".rows .row", has=page.locator(f'a[href="#/run/{LONG}"]')).locator(".c-calls").inner_text()
        )
        opened(page, LONG)
        assert ("3", True) == (listed, "Model calls\n3" in page.locator(".figures").inner_text())


def test_whole_numbers_stay_what_was_recorded(browser: Browser, address: str) -> None:
    """However long they are, as values and in the record."""
    with browser.page(f"{address}#/run/{LONG}/{2:016x}") as page:
        page.locator(".panel .section", has_text="Record").locator("summary").click()
        page.locator(".panel .code").wait_for()
        told = page.locator(".panel").inner_text()
        assert [True] * 3 == [part in told for part in (f"id{POST}", f'"id": {POST}', f'"start_ns": {NOON + MS}')], told


def test_findings_are_pinned_and_lead_to_their_spans(browser: Browser, address: str) -> None:
    """A pin on the time line opens the span that proves it, with the finding and the advice."""
    with browser.page(address) as page:
        opened(page)
        page.locator('.pin[aria-label*="same_call"]').click()
        page.locator(".panel .finding").wait_for()
        assert "read_file" == page.locator(".panel h2").inner_text()


def test_a_finding_at_the_very_end_is_in_sight(browser: Browser, address: str) -> None:
    """Its pins stand within the time line and the strip."""
    with browser.page(f"{address}#/run/{LONG}") as page:
        for pin in (".waterfall .finding", ".pin"):
            page.wait_for_function(AT_THE_END, arg=pin)


def test_a_run_says_whose_it_was_and_how_it_was_judged(browser: Browser, address: str) -> None:
    """Also where the judgement came later, about the run as a whole; its session leads to the other runs of it."""
    with browser.page(f"{address}#/run/{LONG}/{1:016x}") as page:
        page.locator(".panel .section", has_text="thumbs up").wait_for()
        figures = page.locator(".figures").inner_text()
        page.locator(".figures a", has_text="talk-7").click()
        page.locator(".said", has_text="1 of").wait_for()
        assert ("Scores\nthumbs up" in figures, ["long"]) == (True, names(page))


def test_the_head_counts_what_never_ended(browser: Browser, tmp_path: Path) -> None:
    """Of a process that was killed, and in a run that ended all the same."""
    write(tmp_path / "a.jsonl", run(pid=0), head(2, 1), head(3, 1), span(1))
    with serving(tmp_path) as address, browser.page(f"{address}#/run/{TRACE}") as page:
        page.locator(".figures", has_text="Unfinished").wait_for()
        assert "Unfinished\n2" in page.locator(".figures").inner_text()


def test_a_pattern_that_goes_on_is_shown_once(browser: Browser, tmp_path: Path) -> None:
    """As it was told last, also where both tellings come one after the other."""
    again = finding(2, message="four times", data={"again_of": span(1).span_id}, time_ns=NOON + 9 * MS)
    write(tmp_path / "a.jsonl", span(1), span(2, 1), finding(1, message="twice"), again)
    with serving(tmp_path) as address, browser.page(f"{address}#/run/{TRACE}?tab=findings") as page:
        page.locator(".findings").wait_for()
        assert ["four times"] == page.locator(".findings .finding > p").all_inner_texts()[:1]
        assert 1 == page.locator(".findings .finding").count()


def test_steps_add_up(browser: Browser, address: str) -> None:
    """Money and tokens of each step, and what they have come to."""
    with browser.page(f"{address}#/run/{TRACE}?tab=steps") as page:
        page.locator(".sums").first.wait_for()
        lines = page.locator(".sums").first.locator("tbody tr").all_inner_texts()
        cells = [line.strip().split("\t") for line in lines]
        sums = [("857", "$0.000397"), ("2,978", "$0.00140"), ("5,100", "$0.00240"), ("7,223", "$0.00240+")]
        assert sums == [(one[-1].strip(), one[4].strip()) for one in cells]


def test_steps_are_readable_beside_a_span(browser: Browser, address: str) -> None:
    """No cell runs into the next one where half of the room is left."""
    with browser.page(f"{address}#/run/{TRACE}/{2:016x}?tab=steps") as page:
        page.locator(".panel .section").first.wait_for()
        wide = "[...document.querySelectorAll('.steps :is(th, td)')].filter((one) => one.scrollWidth > one.clientWidth).length"
        assert 0 == page.evaluate(wide)


def test_logs_stand_among_the_spans_and_alone(browser: Browser, address: str) -> None:
    """Below the span that wrote them; and as a list."""
    with browser.page(address) as page:
        opened(page)
        page.keyboard.press("l")
        page.locator(".row.log").first.wait_for()
        shown = names(page)
        page.keyboard.press("4")
        page.locator(".logrow:not([hidden])").first.wait_for()
        alone = page.locator(".logrow:not([hidden]) .linkish").all_inner_texts()
        assert ("AGENT_INIT", ["AGENT_INIT", "ACT_ERROR"]) == (shown[1], alone)


def test_logs_are_filtered_by_their_words_and_by_their_spans(browser: Browser, address: str) -> None:
    """A condition is one of the span that wrote the log."""
    with browser.page(f"{address}#/run/{TRACE}?tab=logs&q=kind:step+-ready") as page:
        page.locator(".said", has_text="1 of 2 logs").wait_for()
        assert ["ACT_ERROR"] == page.locator(".logrow:not([hidden]) .linkish").all_inner_texts()


def test_costs_are_told_by_day_and_model(browser: Browser, address: str) -> None:
    """With calls whose price nobody knows counted apart."""
    with browser.page(f"{address}#/costs") as page:
        page.locator(".chart").wait_for()
        page.get_by_role("button", name="By agent").click()
        figures = page.locator(".figures").inner_text()
        tables = page.locator(".sums").first.inner_text()
        assert ([True, True], True) == (
            ["reviewer-1" in tables, "2026" in page.locator(".sums").nth(1).inner_text()],
            "Unpriced calls" in figures,
        )


def test_words_are_found_in_contents_too(browser: Browser, address: str) -> None:
    """What a span was given counts, not its name alone."""
    with browser.page(address) as page:
        opened(page)
        page.keyboard.press("/")
        page.keyboard.type("m.py")
        page.locator(".said", has_text="3 of 15 spans").wait_for()
        assert ["review", "iteration", "read_file", "iteration", "read_file", "iteration", "read_file"] == names(page)


def test_a_big_run_is_folded_and_only_rows_in_sight_are_drawn(browser: Browser, address: str) -> None:
    """However far it is scrolled."""
    with browser.page(address) as page:
        opened(page, BIG)
        folded = page.locator(".waterfall").get_attribute("aria-rowcount")
        page.keyboard.press("Shift+X")
        page.locator(".waterfall[aria-rowcount='4002']").wait_for()
        page.keyboard.press("Shift+G")
        page.get_by_text("n=4001").wait_for()
        assert ("1002", True) == (folded, page.locator(".waterfall .row").count() < 80)


# Keys and links


def test_everything_is_reached_by_keys(browser: Browser, address: str) -> None:
    """From the list into a run, down the tree, folding, into a span and back."""
    with browser.page(f"{address}#/runs?q=name:review") as page:
        page.locator(".said", has_text="1 of 4").wait_for()
        said = []
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.locator(".waterfall .rows .row:not([hidden])").first.wait_for()
        for key in ("j", "j", "ArrowLeft", "ArrowLeft", "j", "j"):
            page.keyboard.press(key)
            said.append(chosen(page))
        page.keyboard.press("Enter")
        page.locator(".panel:not([hidden]) .section").first.wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("e")
        page.locator(".failure").wait_for()
        assert ["create_plan", "responses gpt-4.1-mini", "create_plan", "create_plan", "iteration", "think"] == said
        page.keyboard.press("?")
        page.get_by_role("heading", name="Keyboard").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.locator(".runs").wait_for()


def test_an_opened_span_is_read_by_keys(browser: Browser, address: str) -> None:
    """Enter once more goes into it, and keys that scroll do; the next row is opened as before."""
    with browser.page(f"{address}#/run/{LONG}/{1:016x}") as page:
        page.locator(".panel .section").first.wait_for()
        page.keyboard.press("Enter")
        page.keyboard.press("End")
        page.wait_for_function("document.querySelector('.panel').scrollTop > 0")
        read = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url: url != read)
        assert f"#/run/{LONG}/{1:016x}" in read


def test_zoom_by_keys_leaves_the_chosen_span_in_sight(browser: Browser, address: str) -> None:
    """`f` shows the span as wide as the time line allows, `0` everything again."""
    with browser.page(f"{address}#/run/{TRACE}/{2:016x}") as page:
        page.locator(".panel .section").first.wait_for()
        page.keyboard.press("f")
        page.evaluate(DRAWN)
        near = row(page, "create_plan").locator(".bar").bounding_box()["width"]
        page.keyboard.press("0")
        page.evaluate(DRAWN)
        far = row(page, "create_plan").locator(".bar").bounding_box()["width"]
        assert near > 4 * far


def test_a_link_leads_to_a_span(browser: Browser, address: str) -> None:
    """Even to one that is folded away in a big run; the address of an opened span is such a link."""
    with browser.page(f"{address}#/run/{BIG}/{3999:016x}") as page:
        page.locator(".panel .section").first.wait_for()
        linked = chosen(page)
        page.keyboard.press("k")
        page.wait_for_url(f"**#/run/{BIG}/{3998:016x}")
        assert ("tool2", "step") == (linked, chosen(page))


# Why


FAILED = "fa11" * 8
NO = Failure("ToolError", "the service said no")


def failed() -> list[Record]:
    """A run that failed by what a tool of it raised."""
    parts: dict[str, Any] = {"trace_id": FAILED, "run": "r5", "status": "error", "error": NO}
    return [
        span(1, name="checkout", kind="agent", duration_ns=900 * MS, **parts),
        span(2, 1, name="charge", kind="tool", duration_ns=300 * MS, **parts),
    ]


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A run that failed, one that went well, and one of which there is nothing to say."""
    place = tmp_path_factory.mktemp("why")
    write(place / "a.jsonl", *failed(), *review(), span(1, trace_id=LONG, run="r3"))
    with serving(place) as found:
        yield found


@pytest.mark.parametrize("width", [1280, 360])
def test_a_failed_run_says_why(browser: Browser, explained: str, width: int) -> None:
    """Where it is opened, before anybody asks; the line leads to the span in which it began."""
    with browser.page(f"{explained}#/run/{FAILED}", viewport={"width": width, "height": 740}) as page:
        page.locator(".why li").first.wait_for()
        told = page.locator(".why").inner_text()
        page.locator(".why .linkish", has_text="charge").first.click()
        page.locator(".panel .failure").wait_for()
        assert "Why failed\nToolError: the service said no; it began in charge, passed on by 1 span" in told
        assert ("charge", width) == (
            page.locator(".panel h2").inner_text(),
            page.evaluate("document.documentElement.scrollWidth"),
        )


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (TRACE, ["Why slow", "Why expensive", "Why failed"]),
        (FAILED, ["Why failed", "Why slow"]),
        (LONG, []),
    ],
    ids=["went well", "failed", "nothing to say"],
)
def test_why_is_told_when_asked(browser: Browser, explained: str, trace: str, expected: list[str]) -> None:
    """By a key, what the verb of that name tells: of a question without an answer nothing."""
    with browser.page(f"{explained}#/run/{trace}") as page:
        page.locator(".waterfall .label").first.wait_for()
        page.keyboard.press("y")
        page.locator(".why", has_text="slow").wait_for()
        assert expected == page.locator(".why h2").all_inner_texts()


def test_why_costs_nothing_until_it_is_asked(browser: Browser, explained: str) -> None:
    """Of a run that went well nothing is read and nothing stands in the way."""
    with browser.page(f"{explained}#/run/{TRACE}") as page:
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        page.locator(".pin").first.wait_for()
        page.locator(".waterfall .label").first.click()
        page.locator(".panel .section").first.wait_for()
        assert ([], False) == ([url for url in asked if "/why" in url], page.locator(".why").is_visible())


# Two runs


PLAN = Plan((Step((Tool("read", "one"), Tool("search", "two"))), Step((Tool("run", "one"),))))
PAIR = [simulate(PLAN), simulate(PLAN, Twist("arguments", 1), seed=2)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two runs of one agent, each in a file of its own; in the second one, one argument is another."""
    place = tmp_path_factory.mktemp("pair")
    for number, trace in enumerate(PAIR):
        write(place / f"{number}.jsonl", *trace.spans)
    with serving(place) as found:
        yield found


def compared(page: Any) -> list[str]:
    """The rows of the comparison in sight: the sign of each and the name."""
    page.locator(".diffrows .label").first.wait_for()
    page.evaluate(DRAWN)
    told = "rows => rows.map(row => [Number(row.getAttribute('aria-rowindex')), `${row.querySelector('.sign').firstChild.textContent}${row.querySelector('.label').textContent}`])"
    return [text for _, text in sorted(page.locator(".diffrows .rows > :not([hidden])").evaluate_all(told))]


def test_two_runs_are_compared_by_keys(browser: Browser, pair: str) -> None:
    """Chosen in the list, whatever their order: what differs in one tree, a call in full, its run, and back."""
    with browser.page(pair) as page:
        page.locator(".runname").first.wait_for()
        for key in ("j", "d", "j", "d"):
            page.keyboard.press(key)
        page.wait_for_url(f"**#/diff/{PAIR[0].trace_id}/{PAIR[1].trace_id}")
        assert ["≠review", "iteration", "≠run"] == compared(page)
        assert "First divergence: other arguments" in page.locator(".parting").inner_text()
        page.keyboard.press("Enter")
        page.locator(".one-change ins").first.wait_for()
        page.keyboard.press("b")
        page.locator(".panel .section").first.wait_for()
        assert f"#/run/{PAIR[1].trace_id}/" in page.url
        page.go_back()
        page.locator(".one-change").first.wait_for()
        page.keyboard.press("d")
        page.locator(".diffrows .rows > :not([hidden]) .label", has_text="chat gpt-4.1").first.wait_for()
        assert ["≠review", "iteration", "iteration", "chat gpt-4.1", "≠run"] == compared(page)


def test_a_run_is_compared_with_the_one_before(browser: Browser, pair: str) -> None:
    """From the run itself, by a button; a call of the comparison leads into either run."""
    with browser.page(f"{pair}#/run/{PAIR[1].trace_id}") as page:
        page.locator(".compare").click()
        page.locator(".diffrows .is-first .c-a a").click()
        page.locator(".panel .section").first.wait_for()
        assert f"#/run/{PAIR[0].trace_id}/" in page.url


def test_a_comparison_grows_with_its_runs(browser: Browser, tmp_path: Path) -> None:
    """What came is told, and the chosen row stays where the reader had it."""
    calls = [span(n, 1, name=f"call{n}", kind="tool") for n in range(2, 60)]
    head = span(1, name="root", kind="agent", duration_ns=900 * MS)
    other = [replace(one, trace_id=LONG, run="r2") for one in (head, *calls)]
    write(tmp_path / "a.jsonl", head, *calls)
    write(tmp_path / "b.jsonl", other[0], *other[31:])
    with serving(tmp_path) as address, browser.page(f"{address}#/diff/{TRACE}/{LONG}?all&at={40:016x}") as page:
        page.locator(".panel .versus").wait_for()
        page.evaluate("document.querySelector('.diffrows').scrollTop += 60")
        page.evaluate(DRAWN)
        _, top = page.evaluate(CHOSEN)
        with (tmp_path / "b.jsonl").open("ab") as file:
            file.write(as_lines(*other[1:31]))
        page.locator(".diff .said", has_text="all the same").wait_for()
        page.evaluate(DRAWN)
        assert ["call40", pytest.approx(top, abs=1)] == page.evaluate(CHOSEN)


# Hostile and huge


def test_recorded_text_is_never_markup(browser: Browser, address: str) -> None:
    """In every view and every part of the panel it stands as it was written, and what is unseen is made visible."""
    with browser.page(address) as page:
        page.locator(".runname").first.wait_for()
        opened(page, HOSTILE)
        for index in range(3):
            page.locator(".waterfall .rows .row:not([hidden])").nth(index).click()
            page.locator(".panel .section > summary", has_text="Record").click()
        page.locator(".panel .block").last.wait_for()
        page.keyboard.press("y")
        page.locator(".why li").first.wait_for()
        inside = page.locator(".panel").inner_text() + page.locator(".why").inner_text()
        for key in ("2", "3", "4"):
            page.keyboard.press(key)
        page.locator(".logrow:not([hidden])").first.wait_for()
        page.keyboard.press("s")
        page.locator(".chart").wait_for()
        page.keyboard.press("r")
        page.locator(".runname").first.wait_for()
        page.goto(f"{address}#/diff/{HOSTILE}/{TRACE}?all")
        page.locator(".diffrows .label").first.wait_for()
        page.keyboard.press("Enter")
        page.locator(".one-change").first.wait_for()
        inside += page.locator("main").inner_text()
        made = page.evaluate(
            "document.querySelectorAll('main img, main iframe, main script, main base, main style, [onerror], [onload]').length"
        )
        assert (0, True, True, False) == (
            made,
            "<script>alert(1)</script>" in inside,
            "⟨202E⟩" in inside,
            "\u202e" in inside,
        )


def test_a_text_of_ten_million_letters_is_shown_in_pieces(browser: Browser, address: str) -> None:
    """The page holds the beginning, and more when asked."""
    with browser.page(f"{address}#/run/{LONG}/{1:016x}") as page:
        more = page.locator(".panel .more").first
        more.wait_for()
        before = page.locator(".panel .block").first.inner_text()
        more.click()
        page.locator(".panel .chunk").wait_for()
        assert ({"x"}, True, True) == (set(before), len(before) < 30_000, "of 9,880,000 letters" in more.inner_text())


# Live


AGENT = """
import sys
from instrument import configure, span, tool
configure(sinks=["jsonl"])

@tool
def look(place):
    return f"seen {place}"

with span("live agent", kind="agent") as live:
    live.set({"gen_ai.agent.id": "looker-7"})
    for line in sys.stdin:
        look(line.strip())
        print("looked", flush=True)
"""


def test_a_run_of_another_process_grows_while_it_runs(browser: Browser, address: str, folder: Path) -> None:
    """It appears in the list, its spans come as they end, and at its end it is no longer running and says whose it was."""
    with browser.page(address) as page:
        page.locator(".runname").first.wait_for()
        with begun("-c", AGENT, INSTRUMENT_DIR=str(folder)) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write("here\n")
                process.stdin.flush()
                process.stdout.readline()
                page.locator(".row", has_text="live agent").locator(".status", has_text="running").wait_for()
                page.get_by_role("link", name="live agent").click()
                page.get_by_text('place="here"').wait_for()
                process.stdin.write("there\n")
                process.stdin.flush()
                page.get_by_text('place="there"').wait_for()
                page.keyboard.press("y")
                page.locator(".why", has_text="it has not ended; live agent was open").wait_for()
                process.stdin.close()
                page.locator(".why", has_text="it has not ended").wait_for(state="hidden")
                page.locator(".runtitle .status.s-ok").wait_for()
                told = row(page, "live agent").inner_text()
                assert (["live agent", "look", "look"], True) == (names(page), "looker-7" in told), told
            finally:
                process.kill()


# Everybody


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_no_view_violates_the_rules_of_accessibility(browser: Browser, address: str, scheme: str, width: int) -> None:
    """As axe-core checks them, at two widths, dark and light."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found: list[str] = []
    with browser.page(address, color_scheme=scheme, viewport={"width": width, "height": 760}) as page:

        def check(view: str) -> None:
            for broken in axe.run(page).response["violations"]:
                found.extend(f"{view}: {broken['id']}: {node['html'][:160]}" for node in broken["nodes"][:2])

        page.locator(".c-pick input").first.click()
        page.locator(".choice b").wait_for()
        check("runs")
        opened(page)
        page.keyboard.press("l")
        check("time line")
        page.locator(".row.s-error").first.click()
        page.locator(".failure").wait_for()
        check("span")
        page.keyboard.press("Escape")
        page.keyboard.press("y")
        page.locator(".why li").first.wait_for()
        check("why")
        for key, view in (("2", "steps"), ("3", "findings"), ("4", "logs")):
            page.keyboard.press(key)
            check(view)
        page.keyboard.press("?")
        check("help")
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        page.locator(".chart").wait_for()
        check("costs")
        page.goto(f"{address}#/diff/{TRACE}/{HOSTILE}")
        page.locator(".diffrows .label").first.wait_for()
        page.keyboard.press("Enter")
        page.locator(".one-change").first.wait_for()
        check("comparison")
    assert [] == found


@pytest.mark.parametrize(
    "hash_",
    [
        "",
        f"#/run/{TRACE}",
        f"#/run/{LONG}",
        f"#/run/{TRACE}/{2:016x}",
        f"#/run/{TRACE}?tab=steps",
        f"#/diff/{TRACE}/{BIG}",
        "#/costs",
    ],
)
def test_nothing_is_wider_than_a_small_screen(browser: Browser, address: str, hash_: str) -> None:
    """On a phone and a tablet nobody has to scroll sideways, not for filters, errors and money either, nor for a long
    name or one of a span that lies deep.
    """
    with browser.page(address + hash_, viewport={"width": 360, "height": 740}) as page:
        page.locator(".runs .runname, .waterfall .label, .diffrows .label, .sums, .chart").first.wait_for()
        page.evaluate("for (const one of document.querySelectorAll('h1, .runname')) one.textContent += 'a'.repeat(90)")
        page.evaluate(
            "for (const one of document.querySelectorAll('.c-name')) one.style.setProperty('--indent', '560px')"
        )
        for width in (360, 768):
            page.set_viewport_size({"width": width, "height": 740})
            page.evaluate(DRAWN)
            assert (width, []) == (page.evaluate("document.documentElement.scrollWidth"), page.evaluate(OUT_OF_SIGHT))
        assert page.evaluate(
            "[...document.querySelectorAll('.c-errors, .c-usd, .call-in, .sums, h1')].some((one) => one.getClientRects().length)"
        )


def test_dark_and_light_are_chosen_by_a_key(browser: Browser, address: str) -> None:
    """And kept for the next time."""
    with browser.page(address, color_scheme="light") as page:
        page.locator(".runname").first.wait_for()
        background = "getComputedStyle(document.documentElement).backgroundColor"
        seen = [page.evaluate(background)]
        page.keyboard.press("t")
        page.keyboard.press("t")
        seen.append(page.evaluate(background))
        page.reload()
        page.locator(".runname").first.wait_for()
        seen.append(page.evaluate(background))
        assert ["rgb(255, 255, 255)", "rgb(19, 20, 23)", "rgb(19, 20, 23)"] == seen
