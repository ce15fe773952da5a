"""Sessions of Codex: its rollout files, JSON lines of `{timestamp, type, payload}`, or of bare payloads in old ones.

The items of one answer (reasoning, text, calls of tools) are lines of their own; an answer ends where something is said
to the model again or its tokens are counted. The messages that events repeat are taken once, from the items.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import convert

from instrument.attributes import AGENT_NAME, PROVIDER, REQUEST_MODEL, SESSION
from instrument.messages import Part, message_of, said
from instrument.model import Event, Failure, Record, Usage
from instrument.store.foreign.conversation import Conversation, Turn, spans
from instrument.store.foreign.shape import Fields, digest, failure, fields, moment, parsed, run_of, whole, words

LINES = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})
_BARE = frozenset({"message", "reasoning", "function_call", "function_call_output", "local_shell_call"})
_REPEATED = frozenset({
    "user_message", "agent_message", "agent_reasoning", "agent_reasoning_raw_content", "agent_message_delta",
    "token_count",
})  # fmt: skip
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output", "local_shell_call_output"})
_COUNTS = {
    "input": "input_tokens", "cached": "cached_input_tokens", "cache_write": "cache_write_input_tokens",
    "output": "output_tokens", "reasoning": "reasoning_output_tokens",
}  # fmt: skip
_SETTINGS = {REQUEST_MODEL: "model", "gen_ai.request.reasoning.level": "effort"}
_EXIT = re.compile(r"(?:^|\n)\s*(?:Exit code|Process exited with code|exit_code):?\s*(-?\d+)")
_EXIT_WITHIN = 400
_RESOURCE = {"cwd": "process.working_directory", "cli_version": "codex.version", "originator": "codex.originator"}


def fits(row: object) -> bool:
    """Whether a parsed line is one of such a file."""
    line = fields(row)
    if line.get("type") in LINES:
        return isinstance(line.get("payload"), dict)
    return line.get("type") in _BARE - {"message"} or ("id" in line and "timestamp" in line and "instructions" in line)


def records(rows: Iterable[Any], source: str) -> Iterator[Record]:
    """The session as one trace."""
    lines = [_opened(fields(row)) for row in rows]
    meta = next((payload for _, kind, payload in lines if kind == "session_meta"), {})
    session = words(meta.get("id")) or digest("codex", [payload for _, _, payload in lines])
    trace_id = digest("codex", session, digits=32)
    turns = [_turn(str(place), draft, session) for place, draft in enumerate(_drafts(lines))]
    started = next((at for at, _, _ in lines if at), turns[0].at_ns if turns else 0)
    yield run_of(trace_id, started, source, _resource(meta))
    yield from spans(
        Conversation(
            trace_id=trace_id,
            span_id=digest(trace_id, "agent"),
            name="codex",
            turns=turns,
            attributes={SESSION: session, AGENT_NAME: "codex"},
            events=[_event(*line) for line in lines if _is_other(*line[1:])],
        )
    )


Line = tuple[int, str, Fields]
"""When, what kind, and the payload of one line."""


def _opened(line: Fields) -> Line:
    at = moment(line.get("timestamp")) or 0
    kind = words(line.get("type")) or ("session_meta" if "instructions" in line else "line")
    if kind in _BARE:
        return at, "response_item", line
    payload = line.get("payload")
    return at, kind, payload if isinstance(payload, dict) else {k: v for k, v in line.items() if k != "type"}


def _resource(meta: Fields) -> Fields:
    told = {ours: text for theirs, ours in _RESOURCE.items() if (text := words(meta.get(theirs)))}
    git = {f"vcs.{key}": value for key, value in fields(meta.get("git")).items() if value}
    return {"service.name": "codex", **told, **git}


def _is_other(kind: str, payload: Fields) -> bool:
    """Whether a line is neither part of the conversation nor said again elsewhere."""
    is_repeated = kind == "event_msg" and words(payload.get("type")) in _REPEATED
    return kind not in ("session_meta", "response_item") and not is_repeated


def _event(at_ns: int, kind: str, payload: Fields) -> Event:
    name = words(payload.get("type")) if kind == "event_msg" else None
    return Event(name or kind, at_ns, payload)


@dataclass
class _Draft:
    """A turn that lines are still being added to: what was told to the model, or one answer of it."""

    at_ns: int
    role: str
    parts: list[Part] = field(default_factory=list)
    usage: Usage | None = None
    context: Fields = field(default_factory=dict)
    failures: dict[str, Failure | None] = field(default_factory=dict)


def _drafts(lines: Sequence[Line]) -> list[_Draft]:
    drafts: list[_Draft] = []
    context: Fields = {}
    before: Fields = {}
    ended = dict(_ended(lines))
    for at_ns, kind, payload in lines:
        if kind == "turn_context":
            context = payload
        elif kind == "event_msg" and payload.get("type") == "token_count":
            before = _count(drafts, fields(payload.get("info")), before)
        elif kind == "response_item":
            _add(drafts, at_ns, payload, context, ended)
    return drafts


def _ended(lines: Sequence[Line]) -> Iterator[tuple[str, Failure]]:
    """The commands that ended badly by an event; some versions tell it nowhere else."""
    for _, kind, payload in lines:
        if (
            kind == "event_msg"
            and payload.get("type") == "exec_command_end"
            and (code := whole(payload.get("exit_code")))
        ):
            text = words(payload.get("aggregated_output")) or words(payload.get("stderr")) or ""
            yield str(payload.get("call_id")), _exit(code, text)


def _add(drafts: list[_Draft], at_ns: int, item: Fields, context: Fields, ended: Mapping[str, Failure]) -> None:
    kind = words(item.get("type")) or "message"
    is_result = kind in _RESULTS
    if is_result or (kind == "message" and item.get("role") != "assistant"):
        message = message_of({**item, "type": "function_call_output"} if is_result else item)
        call_id = str(item.get("call_id"))
        failures = {call_id: _failure(item.get("output")) or ended.get(call_id)} if is_result else {}
        drafts.append(_Draft(at_ns, message["role"], _answered(message["parts"]), failures=failures))
        return
    if not drafts or drafts[-1].role != "assistant" or drafts[-1].usage is not None:
        drafts.append(_Draft(at_ns, "assistant", context=context))
    drafts[-1].at_ns = at_ns
    drafts[-1].parts.extend(_parts(item, kind))


def _parts(item: Fields, kind: str) -> list[Part]:
    """The parts of an item; a shell call of old versions is a tool call like any other."""
    if kind == "local_shell_call":
        call_id = words(item.get("call_id")) or words(item.get("id"))
        return [{"type": "tool_call", "id": call_id, "name": "local_shell", "arguments": fields(item.get("action"))}]
    parts: list[Part] = message_of({**item, "type": kind}, "assistant")["parts"]
    return parts


def _answered(parts: list[Part]) -> list[Part]:
    """Results without the envelope of text and exit code that some versions put them in."""
    return [{**part, "response": _text_of(part["response"])} if "response" in part else part for part in parts]


def _text_of(output: Any) -> Any:
    held = fields(parsed(output))
    return held["output"] if "output" in held and held.keys() <= {"output", "metadata"} else output


def _failure(output: Any) -> Failure | None:
    """What went wrong with a call: by its exit code, or where it says itself that it had no success."""
    held = fields(parsed(output))
    code = whole(fields(held.get("metadata")).get("exit_code"))
    text = _text_of(output)
    if code is None and isinstance(text, str):
        told = _EXIT.search(text[:_EXIT_WITHIN])
        code = int(told[1]) if told else None
    if code:
        return _exit(code, str(text))
    return failure(str(text)) if held.get("success") is False else None


def _exit(code: int, text: str) -> Failure:
    return failure(f"exit code {code}: {text}", "ExitCode")


def _count(drafts: Sequence[_Draft], info: Fields, before: Fields) -> Fields:
    """Enter tokens at the answer that they belong to; counts that are said again change nothing."""
    total = fields(info.get("total_token_usage"))
    if not info or (total and total == before):
        return before
    last = fields(info.get("last_token_usage")) or {key: _less(count, before.get(key)) for key, count in total.items()}
    answer = next((draft for draft in reversed(drafts) if draft.role == "assistant"), None)
    if answer is not None and answer.usage is None:
        answer.usage = _usage(last)
    return total or before


def _less(count: object, before: object) -> object:
    now, then = whole(count), whole(before)
    return count if now is None or then is None else max(0, now - then)


def _usage(counts: Fields) -> Usage | None:
    found = {ours: _tokens(counts.get(theirs)) for ours, theirs in _COUNTS.items()}
    return convert(found, Usage) if found["input"] is not None or found["output"] is not None else None


def _tokens(count: object) -> int | None:
    known = whole(count)
    return known if known is not None and known >= 0 else None


def _turn(key: str, draft: _Draft, session: str) -> Turn:
    told = {ours: text for ours, theirs in _SETTINGS.items() if (text := words(draft.context.get(theirs)))}
    about = {PROVIDER: "openai", **told} if draft.role == "assistant" else {}
    message = said(draft.role, draft.parts)
    return Turn(key, draft.at_ns, message, draft.usage, {SESSION: session, **about}, draft.failures)
