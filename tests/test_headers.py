"""What travels to other processes besides the parent: tracestate, the session and shared budgets, by W3C headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import instrument
from instrument import budget, extract, inject, session, span, traced
from instrument.record.context import current
from instrument.record.headers import origin_of
from instrument.testing import Recording, record

CALLER = f"00-{'a' * 32}-{'b' * 16}-01"


@traced
def leaf() -> None: ...


def test_session_and_user_go_along(recording: Recording) -> None:
    """Spans in the called process belong to the caller's session and user, whatever characters their names have."""
    with session("conversation, 7; ä=%", user="ann@b"), span("caller"):
        headers = inject({})
    with extract(headers):
        leaf()
    expected = {"session.id": "conversation, 7; ä=%", "user.id": "ann@b"}
    assert expected == recording.span("leaf").attributes


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_session_survives(id: str, user: str) -> None:
    """For all texts that UTF-8 can write, what is extracted is what was injected."""
    written = (id.encode("utf-8", "replace").decode(), user.encode("utf-8", "replace").decode())
    with record() as recording:
        with session(id, user=user), span("caller"):
            headers = inject({})
        assert headers["baggage"].isascii()
        with extract(headers):
            leaf()
    found = recording.span("leaf").attributes
    assert written == (found["session.id"], found["user.id"])


def test_baggage_of_others_stays(recording: Recording) -> None:
    """Members that are not ours are kept as they are, ours are replaced."""
    headers = {"Baggage": "team=x;p=1, session.id=old , k=v"}
    with session("new"), span("caller"):
        inject(headers)
    assert "team=x;p=1,k=v,session.id=new" == headers["Baggage"]


def test_baggage_that_is_too_long_is_left_alone(recording: Recording) -> None:
    """Ours is not added where it would exceed what everyone hands on."""
    theirs = "k=" + "x" * 8180
    headers = {"baggage": theirs}
    with session("s" * 50), span("caller"):
        inject(headers)
    assert theirs == headers["baggage"]


def test_tracestate_is_handed_on_as_it_came(recording: Recording) -> None:
    """Vendors' state of a trace goes to whoever is called inside it, and to no other trace."""
    with extract({"traceparent": CALLER, "tracestate": "vendor=1,other=2"}), span("inside"):
        inside = inject({})
    with span("elsewhere"):
        elsewhere = inject({})
    assert ("vendor=1,other=2", None) == (inside.get("tracestate"), elsewhere.get("tracestate"))


def test_shared_budget_goes_along(tmp_path: Path) -> None:
    """The called process draws on the caller's shared budget, with the same limits; one of a process alone stays."""
    with record(dir=tmp_path):
        with budget(usd="0.50", calls=3, name="team 1", period="day"), budget(usd=1), span("caller"):
            headers = inject({})
        with extract(headers):
            [scope] = current.get().budgets  # type: ignore[union-attr]  # extract has set a place
    assert ("team 1", "day", "0.50", 3) == (scope.name, scope.period, str(scope.limits.usd), scope.limits.calls)


@pytest.mark.parametrize("spoken", ["name=x&period=never&usd=1", "usd=nan", "%%%", "name=&period=day", "colour=red"])
def test_a_budget_that_is_none_changes_nothing(spoken: str, recording: Recording) -> None:
    """What cannot be a budget is no fault of the called process's."""
    with extract({"traceparent": CALLER, "baggage": f"instrument.budget={spoken}"}):
        leaf()
    assert ["leaf"] == [found.name for found in recording.spans]


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage", "BAGGAGE"]), st.text() | st.none()))
def test_headers_never_raise(headers: dict[str, Any]) -> None:
    """Whatever stands in the headers, the block runs and leaves no place behind."""
    with extract(headers):
        pass
    assert None is current.get()


def test_a_process_begins_in_its_callers_session(recording: Recording) -> None:
    """Roots of a process that was started inside a session belong to it, also below a session of their own."""
    recorder = instrument.record.switch.switch.recorder
    recorder.origin = origin_of({"TRACEPARENT": CALLER, "BAGGAGE": "session.id=s,user.id=u"})
    leaf()
    with session("own"):
        leaf()
    assert [{"session.id": "s", "user.id": "u"}, {"session.id": "own", "user.id": "u"}] == [
        found.attributes for found in recording.spans
    ]
    assert {("a" * 32, "b" * 16)} == {(found.trace_id, found.parent_id) for found in recording.spans}
