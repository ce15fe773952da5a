"""Sampling: a trace is stored whole or not at all, by rate, name and parent; what matters is stored whatever the rate."""

from __future__ import annotations

import contextvars
import gc
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument import agent, current_span, extract, inject, llm_call, log, read, span, tool, traced
from instrument.analysis.tree import traces
from instrument.attributes import AGENT_ID
from instrument.model import Batch, Cost, Finding, Span, Update
from instrument.record import sampling
from instrument.record.delivery import Delivery
from instrument.record.lanes import Bounds
from instrument.record.sampling import Rules, Sampling
from instrument.record.switch import switch
from instrument.store.jsonl import records
from instrument.store.spool import Held, Spool
from instrument.testing import Recording, record
from tests.faults.programs import found, run
from tests.faults.programs import traces as traces_in
from tests.recorded import span as span_record
from tests.sinks import Direct, Keeping, Tables

NEVER = {"sample_rate": 1e-12}
"""A rate that chooses none of the few traces here, but leaves it to see what becomes of them."""


@tool
def step(n: int) -> int:
    log("STEP", f"step {n}")
    return n


@agent
def goes_well(n: int) -> int:
    return step(n) + step(n + 1)


@agent
def fails(n: int) -> None:
    step(n)
    raise ValueError("no")


@llm_call(model="gpt-4.1-mini")
def thinks(tokens: int) -> str:
    current_span().usage(input=tokens, output=0)  # type: ignore[union-attr]
    return "done"


def outcome(call: Any, *args: Any) -> None:
    """Call it, whatever comes of it."""
    try:
        call(*args)
    except ValueError:
        pass


def kept(recording: Recording) -> list[tuple[str, Any]]:
    """Root and reason of every trace that was stored."""
    return [
        (trace.root.name, trace.root.attributes.get("instrument.sampling.reason"))
        for trace in traces(recording.records)
    ]


def test_a_trace_that_goes_well_is_forgotten() -> None:
    """At a low rate nothing of an ordinary trace is stored."""
    with record(**NEVER) as recording:
        goes_well(1)
    assert [] == recording.spans + recording.logs


def test_a_trace_that_failed_is_kept_in_full() -> None:
    """All spans and logs of a trace in which something failed are stored, also those from before."""
    with record(**NEVER) as recording:
        outcome(fails, 1)
    assert (["step", "fails"], ["STEP"]) == (
        [one.name for one in recording.spans],
        [one.event for one in recording.logs],
    )


def test_the_root_tells_decision_and_reason() -> None:
    """What was decided, why, and by which rate is on the root span."""
    with record(**NEVER) as recording:
        outcome(fails, 1)
    told = {name: value for name, value in recording.span("fails").attributes.items() if "sampling" in name}
    expected = {
        "instrument.sampling.decision": "kept",
        "instrument.sampling.reason": "error",
        "instrument.sampling.rate": 1e-12,
    }
    assert expected == told


def test_by_rate_the_root_says_so() -> None:
    """What the rate chose is stored at once, and says that it was the rate."""
    with record(sample_rate=1 - 1e-12) as recording:
        goes_well(1)
    assert [("goes_well", "rate")] == kept(recording)


def test_at_a_rate_of_one_nothing_is_said() -> None:
    """Where everything is stored, no span carries more than it needs."""
    with record() as recording:
        goes_well(1)
    assert [("goes_well", None)] == kept(recording)


def test_a_slow_trace_is_kept() -> None:
    """A trace that took long is stored."""
    now = [0]
    with record(**NEVER, sampling={"slow_seconds": 0.01}, clock=lambda: now[0]) as recording:
        goes_well(1)
        with span("slow"):
            now[0] += 20_000_000
    assert [("slow", "slow")] == kept(recording)


def test_a_dear_trace_is_kept() -> None:
    """A trace whose model calls add up to the limit is stored."""
    with record(**NEVER, sampling={"dear_usd": "0.5"}, loops={"action": "off"}) as recording:
        with span("cheap"):
            thinks(100)
        with span("dear"):
            thinks(1_000_000)
            thinks(1_000_000)
    assert [("dear", "dear")] == kept(recording)


def test_a_trace_with_a_finding_is_kept() -> None:
    """A trace in which a detector saw waste is stored, with the finding."""
    with record(**NEVER) as recording:
        with span("in circles"):
            for _ in range(12):
                step(1)
    assert ([("in circles", "finding")], True) == (kept(recording), len(recording.findings) > 0)


def test_what_is_kept_is_a_setting() -> None:
    """`sampling.keep` names what is stored whatever the rate."""
    with record(**NEVER, sampling={"keep": ["slow"]}) as recording:
        outcome(fails, 1)
    assert [] == recording.spans


def test_names_have_rates_of_their_own() -> None:
    """Roots are chosen by the first pattern that fits their name, before the rate; below a root names do not count."""
    with record(sample_rate=1e-12, sampling={"names": ["goes*=1", "step=0"], "keep": []}) as recording:
        goes_well(1)
        step(1)
        outcome(fails, 1)
    assert ([("goes_well", "name")], 3) == (kept(recording), len(recording.spans))


def test_a_rate_of_zero_stores_nothing() -> None:
    """Zero is zero, even for what fails."""
    with record(sample_rate=0.0) as recording:
        outcome(fails, 1)
    assert [] == recording.spans


def test_traces_of_which_nothing_is_recorded_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing ever reaches the worker, too, a program that runs for months takes no more memory."""
    monkeypatch.setattr("instrument.record.sampling.REMEMBERED", 10)
    with record(sample_rate=0.0, loops={"action": "off"}):
        assert switch.recorder is not None
        for n in range(30):
            step(n)
        assert 10 == len(switch.recorder.sampling._decided)


def test_what_was_decided_of_a_trace_holds_as_long_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that is kept stays so however many others come and go meanwhile."""
    monkeypatch.setattr("instrument.record.sampling.REMEMBERED", 10)
    with record(**NEVER, loops={"action": "off"}) as recording:
        with span("long"):
            outcome(fails, 1)
            recording.flush()
            for n in range(30):
                contextvars.Context().run(goes_well, n)
                recording.flush()
            step(2)
        recording.flush()
        assert ["step", "fails", "step", "long"] == [one.name for one in recording.spans]


def test_ledger_and_detectors_see_every_trace() -> None:
    """Sinks that take all, as the ledger does, get what is not stored; findings are made of it."""

    class Ledger(Keeping):
        takes_all = True

    for rate in (0.0, 1e-12):
        ledger = Ledger()
        with record(sample_rate=rate, sinks=(ledger,), loops={"action": "off"}) as recording:
            thinks(1000)
        seen = [one.name for one in ledger.records if isinstance(one, Span) and one.usage]
        assert (["thinks"], []) == (seen, recording.spans)


def test_the_ledger_is_told_whose_calls_they_are_in_every_trace() -> None:
    """An agent with an id of its own is no call that concerns nobody where its trace is not stored."""

    class Ledger(Keeping):
        takes_all = True

    ledger = Ledger()
    with record(sample_rate=0.0, sinks=(ledger,), loops={"action": "off"}), span("root"):
        agent(id="writer")(thinks)(1000)
    assert ["writer"] == [one.attributes[AGENT_ID] for one in ledger.records if isinstance(one, Span) and one.usage]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=30), st.floats(0.01, 1.0))
def test_traces_are_stored_whole_or_not_at_all(made: list[tuple[bool, int]], rate: float) -> None:
    """Whatever the rate and however they end: a stored trace is complete, and every failed one is stored."""
    with record(sample_rate=rate, loops={"action": "off"}) as recording:
        for failing, children in made:
            try:
                with span("root", attributes={"children": children, "failing": failing}):
                    for n in range(children):
                        step(n)
                    if failing:
                        raise ValueError
            except ValueError:
                pass
    stored = list(traces(recording.records))
    assert all(len(one.spans) == 1 + one.root.attributes["children"] == 1 + len(one.logs) for one in stored)
    assert sum(failing for failing, _ in made) == sum(one.root.attributes["failing"] for one in stored)


def test_about_the_rate_is_stored() -> None:
    """Of many traces about the share is chosen."""
    with record(sample_rate=0.25, sampling={"keep": []}, seed=1) as recording:
        for n in range(2000):
            step(n)
    assert 400 < len(recording.spans) < 600


def test_children_below_a_remote_parent_follow_it() -> None:
    """What a parent elsewhere left out is left out, what it stores is stored, whatever the rate here."""
    names = {"00": "out", "01": "in"}
    with record(sample_rate=0.5, sampling={"keep": []}) as recording:
        for flag, name in names.items():
            with extract({"traceparent": f"00-{flag * 15}aa-{'cd' * 8}-{flag}"}), span(name):
                step(1)
    assert ["step", "in"] == [one.name for one in recording.spans]


def test_the_decision_travels() -> None:
    """`inject` says whether the trace was chosen."""
    with record(**NEVER), span("root"):
        assert "00" == inject({})["traceparent"][-2:]


# Where the undecided waits


def undecided(folder: Path) -> Counter[str]:
    """The files by their endings, and folders without any."""
    places = [
        place for place in (folder / ".instrument/spool").rglob("*") if place.is_file() or not any(place.iterdir())
    ]
    return Counter(place.suffix or place.name for place in places)


IN_THE_SPOOL = """
from pathlib import Path

def wait_for_the_spool(*names):
    place = Path(".instrument/spool", instrument.current_span().trace_id)
    while not all(f'"name":"{name}"' in "".join(file.read_text() for file in place.glob("*")) for name in names):
        time.sleep(0.001)
"""
FAILING = """
@agent
def review(n):
    work(n)
    wait_for_the_spool("work")
    work(n + 1)
    if n % 2: raise ValueError("no")

for n in (0, 1, 2, 3):
    try: review(n)
    except ValueError: pass
"""


def test_traces_that_take_longer_wait_on_disk(tmp_path: Path) -> None:
    """What waits in the spool is stored in full or dropped on completion, and nothing is left there."""
    run(tmp_path, IN_THE_SPOOL + FAILING, INSTRUMENT_SAMPLE_RATE="1e-12")
    stored = [
        (one.root.name, one.root.attributes["instrument.sampling.reason"], len(one.spans))
        for one in traces_in(tmp_path)
    ]
    assert ([("review", "error", 3)] * 2, Counter()) == (stored, undecided(tmp_path))


def test_after_a_kill_the_spool_reads_as_kept(tmp_path: Path) -> None:
    """A trace that was not decided when its process was killed is read like any other."""
    program = """
with span("hanging", attributes={"why": "stuck"}):
    work(1)
    wait_for_the_spool("hanging", "work")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    run(tmp_path, IN_THE_SPOOL + program, INSTRUMENT_SAMPLE_RATE="1e-12")
    [trace] = traces_in(tmp_path)
    assert ([("hanging", "open"), ("work", "ok")], 1) == (
        [(one.name, one.status) for one in trace.spans],
        undecided(tmp_path)[".jsonl"],
    )


def test_what_is_unfinished_at_the_end_is_kept(tmp_path: Path) -> None:
    """A root that never ended is stored at the end of the process."""
    program = "span('never ends').__enter__()\nwork(1)\nwait_for_the_spool('work')\n"
    run(tmp_path, IN_THE_SPOOL + program, INSTRUMENT_SAMPLE_RATE="1e-12")
    assert (["never ends", "work"], Counter()) == (
        [one.name for trace in traces_in(tmp_path) for one in trace.spans],
        undecided(tmp_path),
    )


ACROSS = """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
from instrument.record import sampling

sampling.GRACE_SECONDS = 60.0  # a busy machine may take longer than a second

@tool
def child(n):
    work(n)
    if n == FAILING: raise ValueError("no")

def main():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        for n in range(4):
            with span(f"root {n}"):
                try: pool.submit(child, n).result()
                except ValueError: pass
            time.sleep(0.15)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("failing", [-1, 2])
def test_a_trace_over_processes_is_stored_whole_or_not_at_all(tmp_path: Path, failing: int) -> None:
    """What fails in one process is stored with what the others did of its trace; of the rest nothing is left."""
    run(tmp_path, ACROSS.replace("FAILING", str(failing)), INSTRUMENT_SAMPLE_RATE="1e-12")
    stored = {one.root.name: sorted(each.name for each in one.spans) for one in traces_in(tmp_path)}
    expected = {} if failing < 0 else {"root 2": ["child", "root 2", "work"]}
    assert expected == stored


def test_a_spool_that_cannot_be_written_is_no_loss(tmp_path: Path) -> None:
    """Where the undecided cannot wait it is stored at once."""
    (tmp_path / "spool").write_text("in the way")
    sampling = Sampling(
        Rules(1e-12, keep=frozenset({"error"})), Spool(tmp_path / "spool", "a.jsonl"), lambda: ["3f2a" * 8]
    )
    inner = span_record(2, 1)
    sampling.met(inner.trace_id, is_root=True)
    assert [inner] == [one for batch in sampling.sift(Batch([inner])) for one in batch]


def test_late_spans_follow_the_decision() -> None:
    """What ends after its root was decided is stored or left out with it."""
    sampling = Sampling(Rules(1e-12, keep=frozenset({"error"})), Held(), list)
    root, late = span_record(1), span_record(2, 1)
    sampling.met(root.trace_id, is_root=True)
    decided = list(sampling.sift(Batch([root])))
    assert ([], []) == (decided, list(sampling.sift(Batch([late]))))


def test_nothing_is_remembered_of_what_is_over() -> None:
    """After many traces only a bounded number of decisions is held."""
    with record(**NEVER, loops={"action": "off"}) as recording:
        for n in range(300):
            step(n)
        recording.flush()

        assert switch.recorder is not None
        assert 0 == len(switch.recorder.sampling._pending)


def test_reading_sees_both_places(tmp_path: Path) -> None:
    """A folder is read with what waits in its spool; a trace that was dropped by another process is not."""
    from instrument.model import encode

    for trace_id, verdict in (("a" * 32, None), ("b" * 32, "dropped"), ("c" * 32, "kept")):
        place = tmp_path / ".instrument/spool" / trace_id
        place.mkdir(parents=True)
        (place / "r.jsonl").write_bytes(encode(span_record(1, trace_id=trace_id)) + b"\n")
        if verdict:
            (place / verdict).touch()
    (tmp_path / ".instrument/events").mkdir()
    assert (["a" * 32, "c" * 32], 2) == (
        [one.trace_id for one in read(tmp_path)],
        len(list(records(tmp_path / ".instrument"))),
    )


def test_what_a_killed_process_left_undecided_is_pruned_like_events(tmp_path: Path) -> None:
    """The cap on the folder counts what waits in the spool, and takes it when its process is gone."""
    from instrument.model import encode
    from instrument.store.folder import prune
    from tests.recorded import run as run_record

    place = tmp_path / ".instrument/spool" / ("a" * 32)
    place.mkdir(parents=True)
    lines = [encode(run_record(pid=2**22 + 1)), encode(span_record(1, trace_id="a" * 32))]
    (place / "20261123T120000Z-r1.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    pruned = prune(tmp_path / ".instrument", max_bytes=0)
    assert (1, False) == (len(pruned.removed), place.exists())


def test_nothing_found_where_nothing_waits(tmp_path: Path) -> None:
    """A program that stores everything makes no spool."""
    run(tmp_path, "work(1)")
    assert (False, 2) == ((tmp_path / ".instrument/spool").exists(), len(found(tmp_path)))


def test_dear_is_exact() -> None:
    """Money is added up as decimals."""
    rules = Rules(1e-12, keep=frozenset({"dear"}), dear_usd=Decimal("0.3"))
    from tests.recorded import call

    sampling = Sampling(rules, Held(), lambda: ["3f2a" * 8])
    sampling.met("3f2a" * 8, is_root=True)
    three = [call(n, 1, usd="0.1") for n in range(2, 5)]
    assert three == [one for batch in sampling.sift(Batch(three)) for one in batch]


@pytest.mark.parametrize(("duration_ns", "is_kept"), [(50, True), (49, False)])
def test_slow_is_what_takes_so_long_or_longer(duration_ns: int, is_kept: bool) -> None:
    """To the nanosecond."""
    sampling = Sampling(Rules(1e-12, keep=frozenset({"slow"}), slow_ns=50), Held(), list)
    sampling.met("3f2a" * 8, is_root=True)
    root = span_record(1, duration_ns=duration_ns)
    assert is_kept == any(sampling.sift(Batch([root])))


def test_what_is_written_while_a_trace_is_taken_from_the_spool_stays(tmp_path: Path) -> None:
    """Another process writes on meanwhile: what was not taken is not forgotten."""
    spool = Spool(tmp_path / "spool", "a.jsonl")
    spool.append("t", [b"first"])
    taken = list(spool.lines("t", of_all=True))
    spool.append("t", [b"second"])
    spool.remove("t", of_all=True, taken=True)
    assert ([[b"first"]], [[b"second"]]) == (taken, list(spool.lines("t", of_all=True)))


def test_a_verdict_is_left_for_who_comes_late(tmp_path: Path) -> None:
    """For a minute: another process that begins meanwhile does not sweep it away."""
    spool = Spool(tmp_path / "spool", "a.jsonl")
    spool.share("t")
    spool.decide("t", "dropped")
    spool.sweep()
    fresh = spool.verdict("t")
    os.utime(tmp_path / "spool/t", (0, 0))
    spool.sweep()
    assert ("dropped", None) == (fresh, spool.verdict("t"))


def test_a_torn_line_in_the_spool_costs_itself_alone() -> None:
    """What a process that was killed has half written keeps nothing else from being stored."""
    spool, trace_id = Held(), "3f2a" * 8
    spool.append(trace_id, [b'{"type":"span","run":"r'])
    kept = Sampling(Rules(1e-12, keep=frozenset({"error"})), spool, lambda: [trace_id])
    kept.met(trace_id, is_root=True)
    told = [span_record(2, 1), span_record(3, 1, status="error")]
    assert told == [one for each in told for batch in kept.sift(Batch([each])) for one in batch]


def test_whoever_has_the_root_decides_though_a_child_came_first() -> None:
    """A trace that has not ended is kept at the end of the process in which its root is."""
    sampling = Sampling(Rules(1e-12, keep=frozenset({"error"})), Held(), list)
    for is_root in (False, True):
        sampling.met("3f2a" * 8, is_root=is_root)
    list(sampling.finish())
    assert {"3f2a" * 8: "unfinished"} == sampling._decided


def test_a_price_that_comes_later_makes_a_trace_dear() -> None:
    """The cost of an update counts as that of a span does."""
    sampling = Sampling(Rules(1e-12, keep=frozenset({"dear"})), Held(), lambda: ["3f2a" * 8])
    sampling.met("3f2a" * 8, is_root=True)
    late = Update(run="r", trace_id="3f2a" * 8, span_id="1" * 16, cost=Cost(usd="1", basis="priced"))
    assert [late] == [one for batch in sampling.sift(Batch([late])) for one in batch]


def test_a_finding_that_only_informs_keeps_nothing() -> None:
    """A trace matters by a warning or an error."""
    sampling = Sampling(Rules(1e-12, keep=frozenset({"finding"})), Held(), lambda: ["3f2a" * 8])
    told = [
        Finding(time_ns=1, detector="d", severity=severity, message="m", trace_id="3f2a" * 8, span_ids=[])
        for severity in ("info", "warning")
    ]
    sampling.met("3f2a" * 8, is_root=True)
    assert [[], told] == [[one for batch in sampling.sift(Batch([each])) for one in batch] for each in told]


def test_the_second_half_of_the_trace_id_decides() -> None:
    """It is random with everybody who makes such ids, and so every process and every other tool decides alike."""
    sampling = Sampling(Rules(0.5), Held(), list)
    low, high = "0" * 16, "f" * 16
    assert (True, False) == (sampling.samples(high + low, "x"), sampling.samples(low + high, "x"))


def test_calls_of_a_trace_that_nobody_keeps_are_called_straight_through() -> None:
    """Below a root that is left out a call has no span of its own; a model call has, for it is priced."""
    with record(**NEVER, sampling={"keep": ()}, loops={"action": "off"}), span("root") as root:
        inside = [tool(current_span)(), traced(current_span)(), llm_call(current_span)()]
    assert [True, True, False] == [one is root for one in inside]


def test_a_finalizer_may_begin_a_trace_while_the_rest_is_decided() -> None:
    """At the end of the process the collector runs as well: what it begins there keeps no trace from being stored."""
    sampling = Sampling(Rules(0.0, keep=frozenset(["error"])), Held(), list)

    class Ends:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            sampling.met("f" * 32, is_root=True)

    for n in range(1000):
        sampling.met(f"{n:032x}", is_root=True)
    gc.collect()
    before = gc.get_threshold()
    gc.set_threshold(1_000_000)
    Ends()
    gc.set_threshold(gc.get_count()[0] + 300)
    try:
        list(sampling.finish())
    finally:
        gc.set_threshold(*before)
    assert 1000 <= len(sampling._decided)


class Disk(Direct):
    """A sink as our files are: it is written to at once, with or without prices."""

    takes_unpriced = True


def test_a_trace_that_others_want_is_stored_while_a_call_waits_for_its_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time may have come when something is passed on that our files have already: they lack the trace, though."""
    monkeypatch.setattr(sampling, "GRACE_SECONDS", 0.0)
    spool = Spool(tmp_path / "spool", "one.jsonl")
    sieve, disk = Sampling(Rules(0.5, keep=frozenset({"error"})), spool, list), Disk()
    delivery = Delivery([disk], Bounds(), lambda *words: None, sieve, Tables())
    root, call = span_record(1, name="wanted"), span_record(2, 1, trace_id="b" * 32, name="call")
    sieve.met(root.trace_id, is_root=True)
    sieve.share(root.trace_id)
    delivery.write(Batch([root]))
    spool.want(root.trace_id, "error")
    unpriced = Batch([call])
    unpriced.unpriced = {call.span_id: None}
    delivery.write(unpriced)
    delivery.catch_up()
    assert ["call", "wanted"] == [one.name for one in disk.records]
