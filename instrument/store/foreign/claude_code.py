"""Sessions of Claude Code: the JSONL files below `~/.claude/projects`, one a session or one an agent it started.

An answer of the model is written as one line for each block of its content, all with the same message id and the same
usage. Lines of agents that a session started are marked `isSidechain`, in the session's file or in one of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from instrument.attributes import AGENT_ID, AGENT_NAME, FINISH_REASONS, LABEL, PROVIDER, RESPONSE_MODEL, SESSION
from instrument.messages import Message, message_of, said
from instrument.model import Event, Failure, Record, Usage
from instrument.store.foreign.conversation import Conversation, Turn, call_span_id, said_text, spans, tool_span_id
from instrument.store.foreign.shape import Fields, digest, failure, fields, moment, objects, run_of, words
from instrument.usage import usage_of

SPOKEN = ("user", "assistant")
_ENVELOPE = frozenset({
    "type", "message", "uuid", "parentUuid", "sessionId", "timestamp", "isSidechain", "agentId", "toolUseResult",
    "requestId", "cwd", "gitBranch", "version", "userType", "slug",
})  # fmt: skip
_RESOURCE = {"cwd": "process.working_directory", "gitBranch": "vcs.ref.head.name", "version": "claude_code.version"}


def fits(row: object) -> bool:
    """Whether a parsed line is one of such a session; not every line of one can be told."""
    line = fields(row)
    return "sessionId" in line and ("uuid" in line or "parentUuid" in line or "leafUuid" in line)


def records(rows: Iterable[Any], source: str) -> Iterator[Record]:
    """One trace for each session in the lines: its agent, the agents it started below the calls that started them."""
    sessions: dict[str, list[Fields]] = defaultdict(list)
    current = ""
    for line in rows:
        current = words(fields(line).get("sessionId")) or current
        sessions[current].append(fields(line))
    before_any = sessions.pop("", [])
    for place, (session, lines) in enumerate(sessions.items()):
        yield from _session(session, _each_once([*before_any, *lines] if place == 0 else lines), source)


def _each_once(lines: Sequence[Fields]) -> list[Fields]:
    """The lines without those that are there again, as when files of one session were put together."""
    first: dict[str | int, Fields] = {}
    for place, line in enumerate(lines):
        first.setdefault(words(line.get("uuid")) or place, line)
    return list(first.values())


def _session(session: str, lines: Sequence[Fields], source: str) -> Iterator[Record]:
    trace_id = digest("claude-code", session, digits=32)
    main = [line for line in lines if not line.get("isSidechain")]
    found = _conversation(main, trace_id, session)
    started = min((at for line in lines if (at := moment(line.get("timestamp")))), default=0)
    yield run_of(trace_id, started, source, _resource(lines))
    if found.turns:
        yield from spans(found)
    starters = _starters(found)
    for agent, own in _sidechains(lines).items():
        below = _conversation(own, trace_id, session, agent)
        yield from spans(below._replace(parent_id=_starter(below, agent, starters)))


def _resource(lines: Sequence[Fields]) -> Fields:
    told = {ours: text for line in lines for theirs, ours in _RESOURCE.items() if (text := words(line.get(theirs)))}
    return {"service.name": "claude-code", **told}


def _conversation(lines: Sequence[Fields], trace_id: str, session: str, agent: str = "") -> Conversation:
    summary = next(
        (text for line in lines if line.get("type") == "summary" if (text := words(line.get("summary")))), None
    )
    return Conversation(
        trace_id=trace_id,
        span_id=digest(trace_id, "agent", agent),
        name=f"claude-code agent {agent}" if agent else "claude-code",
        turns=list(_turns(lines, session)),
        attributes={
            SESSION: session,
            AGENT_NAME: "claude-code",
            **({AGENT_ID: agent} if agent else {}),
            **({LABEL: summary} if summary else {}),
        },
        events=[_event(line) for line in lines if line.get("type") not in (*SPOKEN, "summary")],
    )


def _turns(lines: Sequence[Fields], session: str) -> Iterator[Turn]:
    """Lines of one answer, which follow each other but for results that came meanwhile, are one turn."""
    answers: dict[str, list[Fields]] = defaultdict(list)
    ended: dict[str, int] = {}
    at_ns, before = 0, ""
    for place, line in enumerate(lines):
        if line.get("type") not in SPOKEN:
            continue
        at_ns = moment(line.get("timestamp")) or at_ns
        key = _key(line, place)
        if key not in answers or key == before:
            ended[key] = at_ns
        answers[key].append(line)
        before = key
    for key, at in ended.items():
        yield _turn(key, at, answers[key], session)


def _key(line: Fields, place: int) -> str:
    own = words(fields(line.get("message")).get("id")) if line.get("type") == "assistant" else None
    return own or words(line.get("uuid")) or str(place)


def _turn(key: str, at_ns: int, lines: list[Fields], session: str) -> Turn:
    first, last = lines[0], lines[-1]
    message = fields(last.get("message"))
    reason = words(message.get("stop_reason"))
    rest = {
        f"claude_code.{name}": value for name, value in first.items() if name not in _ENVELOPE and value is not None
    }
    known = {
        PROVIDER: "anthropic",
        RESPONSE_MODEL: words(message.get("model")),
        "gen_ai.response.id": words(message.get("id")),
        FINISH_REASONS: [reason] if reason else None,
        "claude_code.request_id": words(last.get("requestId")),
    }
    is_answer = first.get("type") == "assistant"
    told = {name: value for name, value in known.items() if value is not None} if is_answer else {}
    return Turn(
        key=key,
        at_ns=at_ns,
        message=_message(lines),
        usage=_usage(lines) if is_answer else None,
        attributes={SESSION: session, **told, **rest},
        failures=_failures(lines),
        agents=_agents(lines),
    )


def _message(lines: list[Fields]) -> Message:
    role = str(lines[0]["type"])
    parts = [
        part for line in lines for part in message_of({"role": role, **fields(line.get("message"))}, role)["parts"]
    ]
    return said(role, parts)


def _usage(lines: list[Fields]) -> Usage | None:
    """The last that was told: while an answer streams in, its counts grow. Lines that no model wrote have none."""
    told = [fields(fields(line.get("message")).get("usage")) for line in lines]
    found = next((usage for one in reversed(told) if (usage := usage_of(one)) is not None), None)
    return None if found is None or not (found.input or found.output) else found


def _results(lines: list[Fields]) -> Iterator[tuple[str, Fields, Fields]]:
    for line in lines:
        for block in objects(fields(line.get("message")).get("content")):
            if block.get("type") == "tool_result":
                yield str(block.get("tool_use_id")), block, line


def _failures(lines: list[Fields]) -> dict[str, Failure | None]:
    return {
        call: failure(said_text(message_of({"content": block.get("content")})))
        if block.get("is_error") is True
        else None
        for call, block, _ in _results(lines)
    }


def _agents(lines: list[Fields]) -> dict[str, str]:
    told = ((call, words(fields(line.get("toolUseResult")).get("agentId"))) for call, _, line in _results(lines))
    return {call: agent for call, agent in told if agent}


def _sidechains(lines: Sequence[Fields]) -> dict[str, list[Fields]]:
    """The lines of each agent, by its id, or by the first line of its chain where it has none."""
    chains: dict[str, list[Fields]] = defaultdict(list)
    chain_of: dict[str, str] = {}
    for place, line in enumerate(lines):
        if line.get("isSidechain"):
            uuid = words(line.get("uuid")) or str(place)
            chain = words(line.get("agentId")) or chain_of.get(str(line.get("parentUuid")), uuid)
            chain_of[uuid] = chain
            chains[chain].append(line)
    return chains


def _starters(found: Conversation) -> dict[str, str]:
    """The span of the call that started an agent, by the task that it gave."""
    agents = {call: agent for turn in found.turns for call, agent in turn.agents.items()}
    calls: dict[str, str] = {}
    for turn in found.turns:
        for place, part in enumerate(turn.message["parts"]):
            task = words(fields(part.get("arguments")).get("prompt")) if part.get("type") == "tool_call" else None
            if task is not None:
                agent = agents.get(str(part.get("id")))
                calls[task] = call_span_id(found.trace_id, agent) if agent else tool_span_id(found, turn.key, place)
    return calls


def _starter(below: Conversation, agent: str, starters: dict[str, str]) -> str:
    """The call that gave the agent its first task; a file of its own tells only the agent's id, which does as well."""
    task = said_text(below.turns[0].message) if below.turns else ""
    return starters.get(task) or call_span_id(below.trace_id, agent)


def _event(line: Fields) -> Event:
    held = {key: value for key, value in line.items() if key not in ("type", "timestamp", "sessionId")}
    return Event(words(line.get("type")) or "line", moment(line.get("timestamp")) or 0, held)
