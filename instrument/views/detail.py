"""One span whole: facts, input and output, messages as a conversation, errors with their stack, logs and findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from instrument.analysis.facts import attribute, is_timed
from instrument.analysis.in_words import count, duration, iso, moment
from instrument.analysis.totals import total
from instrument.analysis.tree import Trace, ancestors, parents
from instrument.attributes import REQUEST_MODEL, RESPONSE_MODEL
from instrument.messages import messages_of
from instrument.model import Event, Failure, Finding, Log, Span, Usage, opened
from instrument.statuses import OPEN, UNFINISHED
from instrument.views.code import code, prose
from instrument.views.outline import name_of, said, took
from instrument.views.text import as_json, fact, line, money_in_words, scores_in_words, tokens_in_words
from instrument.views.theme import KINDS, STATUSES, Theme, bare, broken, cells, clean, cut

WHOLE = 1 << 40
INDENT = "  "
ROLES = {"system": "magenta", "user": "cyan", "assistant": "green", "tool": "yellow"}


def detail(trace: Trace, span: Span, theme: Theme, findings: Sequence[Finding] = ()) -> str:
    """All that was recorded of the span; `findings` are those of the trace."""
    blocks = [_head(trace, span, theme), *_contents(span, theme), *_happened(trace, span, findings, theme)]
    return "\n\n".join("\n".join(block) for block in blocks)


def _head(trace: Trace, span: Span, theme: Theme) -> list[str]:
    title = [
        theme.paint(theme.mark(span.status), STATUSES.get(span.status)),
        theme.paint(name_of(span), "bold"),
        theme.paint(clean(span.kind, 20), KINDS.get(span.kind)),
    ]
    facts = [(name, text) for name, text in _facts(trace, span, theme) if text]
    return [" ".join(title), *(part for name, text in facts for part in fact(name, text, theme))]


def _times(trace: Trace, span: Span, theme: Theme) -> Iterator[tuple[str, str]]:
    if not is_timed(span):
        yield "took", f"{theme.unknown} (its times are not known, only the order)"
        return
    share = f", {100 * span.duration_ns / (trace.end_ns - trace.start_ns or 1):.1f}% of the trace"
    least = "at least " if span.status == UNFINISHED else ""
    yield "took", least + duration(span.duration_ns, theme.unicode) + share
    after = span.start_ns - trace.start_ns
    yield "started", moment(span.start_ns) + (f", {duration(after, theme.unicode)} after the trace" if after else "")


def _facts(trace: Trace, span: Span, theme: Theme) -> Iterator[tuple[str, str]]:
    yield "status", "has not ended" if span.status == OPEN else clean(span.status, 20)
    if span.error is not None:
        yield "error", said(span)
    yield from _times(trace, span, theme)
    yield "model", clean(attribute(span, RESPONSE_MODEL, REQUEST_MODEL) or "", 100)
    spent = total([span])
    if span.usage is not None:
        yield "tokens", tokens_in_words(spent) + (" (estimated)" if span.usage.source == "estimated" else "")
        yield "searches", _searches(span.usage)
    if span.usage is not None or span.cost is not None:
        yield "money", money_in_words(spent)
    yield "scores", scores_in_words([score for score in trace.scores if score.span_id == span.span_id])
    yield "in", _way(trace, span, theme)
    yield "span", clean(span.span_id, 32)
    yield "trace", clean(trace.trace_id, 64)


def _searches(usage: Usage) -> str:
    """What the provider's own tools were asked, which is in the money and not in the tokens."""
    told = ((usage.web_searches, "of the web"), (usage.file_searches, "of files"))
    return ", ".join(f"{count(number)} {where}" for number, where in told if number)


def _way(trace: Trace, span: Span, theme: Theme) -> str:
    """The names of the spans above, the root first."""
    names = [name_of(one) for one in islice(ancestors(span.span_id, parents(trace)), 50)]
    return f" {'›' if theme.unicode else '>'} ".join(reversed(names))


# What went in and came out


def _contents(span: Span, theme: Theme) -> Iterator[list[str]]:
    given, answer = opened(span.input), opened(span.output)
    spoken = given.get("messages") if isinstance(given, Mapping) else None
    replied = answer.get("messages") if isinstance(answer, Mapping) else None
    if isinstance(spoken, list | str):
        rest = {key: value for key, value in given.items() if key != "messages" and value not in (None, {}, [])}
        if rest:
            yield _section("input", _values(rest, theme), theme)
        yield _section("messages", _conversation(spoken, theme), theme)
    elif given is not None:
        yield _section("input", _values(given, theme), theme)
    if isinstance(replied, list):
        yield _section("answer", _conversation(replied, theme), theme)
    elif answer is not None or (span.status == "ok" and span.input is not None):
        yield _section("output", _values(answer, theme), theme)
    if span.attributes:
        yield _section("attributes", _values(opened(span.attributes), theme), theme)


def _conversation(messages: Any, theme: Theme) -> Iterator[str]:
    for message in filter(_is_told, _listed(messages)):
        role = clean(message["role"], 20)
        yield theme.paint(role, "bold", ROLES.get(role))
        for part in message["parts"]:
            yield from _indented(_part(part, theme))


def _listed(messages: Any) -> list[Any]:
    """The messages in GenAI parts; those that are recorded so stay as they are."""
    items = messages if isinstance(messages, list) else [messages]
    return [item for one in items for item in ([one] if _is_told(one) else messages_of([one]))]


def _is_told(message: Any) -> bool:
    return isinstance(message, Mapping) and "role" in message and isinstance(message.get("parts"), list)


def _part(part: Any, theme: Theme) -> Iterator[str]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    arrow = "→" if theme.unicode else "->"
    match kind:
        case "text" | "reasoning" | "refusal" if isinstance(part.get("content"), str):
            lines = prose(_lines(part["content"]), theme)
            if kind != "text":
                yield theme.paint(kind, "dim")
            yield from _wrapped(lines, theme, 1)
        case "tool_call" | "server_tool_call":
            name = theme.paint(f"{arrow} {clean(part.get('name'), 100)}", "yellow")
            yield f"{name}  {theme.paint(clean(part.get('id') or '', 80), 'dim')}".rstrip()
            yield from _indented(_values(_read(part.get("arguments")), theme, 2))
        case "tool_call_response":
            yield theme.paint(f"answer to {clean(part.get('id') or 'a call', 80)}", "dim")
            response = part.get("response")
            if isinstance(response, list) and all(isinstance(one, Mapping) and "type" in one for one in response):
                for one in response:
                    said = _read(one.get("content")) if one["type"] == "text" else None
                    yield from _indented(_values(said, theme, 2)) if isinstance(said, dict) else _part(one, theme)
            else:
                yield from _indented(_values(_read(response), theme, 2))
        case _:
            yield from _values(part, theme, 1)


def _read(told: Any) -> Any:
    """What a call was given or answered: tools speak JSON, as text."""
    if not (isinstance(told, str) and told.lstrip().startswith("{")):
        return told
    try:
        return msgspec.json.decode(told)
    except (ValueError, RecursionError):
        return told


# Values


def _values(value: Any, theme: Theme, depth: int = 1) -> Iterator[str]:
    """A value as text: mappings a key a line, long texts in lines of their own, the rest as JSON."""
    if isinstance(value, str):
        yield from _wrapped(prose(_lines(value), theme), theme, depth)
    elif isinstance(value, Mapping) and "$blob" in value:
        yield from _blob(value, theme, depth)
    elif isinstance(value, Mapping) and isinstance(value.get("$cut"), int):
        yield from _ends(value, theme, depth)
    elif isinstance(value, Mapping) and value and depth < 8:
        for key, one in value.items():
            yield from _entry(clean(key, 200), one, theme, depth)
    else:
        yield from _wrapped([code(clean(as_json(value), WHOLE), theme)], theme, depth)


def _entry(key: str, value: Any, theme: Theme, depth: int) -> Iterator[str]:
    inner = list(_values(value, theme, depth + 1))
    name = theme.paint(key, "blue")
    if isinstance(value, Mapping) and value:
        yield name
        yield from _indented(inner)
    elif len(inner) == 1 and (theme.width is None or cells(key) + 2 + cells(bare(inner[0])) + 2 * depth <= theme.width):
        yield f"{name}  {inner[0]}"
    else:
        yield name
        yield from _indented(inner)


def _blob(value: Mapping[str, Any], theme: Theme, depth: int) -> Iterator[str]:
    """A long value that is stored apart: its beginning, and where the rest is."""
    yield from _values(value.get("head", ""), theme, depth)
    size = value.get("bytes")
    told = f"{theme.ellipsis} {size:,} bytes" if isinstance(size, int) else theme.ellipsis
    yield theme.paint(f"{told} in blobs/, {clean(value['$blob'], 80)}", "dim")


def _ends(value: Mapping[str, Any], theme: Theme, depth: int) -> Iterator[str]:
    """A text that was too long to be stored: its beginning and its end, and how long it was."""
    yield from _values(value.get("head", ""), theme, depth)
    told = f"{theme.ellipsis} {value['$cut']:,} letters, of which the beginning and the end were kept {theme.ellipsis}"
    yield theme.paint(told, "dim")
    yield from _values(value.get("tail", ""), theme, depth)


def _lines(text: str) -> list[str]:
    return [clean(part.expandtabs(4), WHOLE) for part in text.replace("\r\n", "\n").split("\n")]


def _wrapped(lines: Iterable[str], theme: Theme, depth: int) -> Iterator[str]:
    """The lines broken at the width; colours end and begin anew at a break."""
    room = None if theme.width is None else max(8, theme.width - len(INDENT) * (depth + 1))
    for text in lines:
        if room is None or cells(bare(text)) <= room:
            yield text
        else:
            yield from broken(text, room)


# What happened in it


def _happened(trace: Trace, span: Span, findings: Iterable[Finding], theme: Theme) -> Iterator[list[str]]:
    if span.error is not None:
        yield _section("error", _failure(span.error, theme), theme)
    about = [one for one in findings if span.span_id in one.span_ids]
    if about:
        yield _section("findings", _whole_lines(about, theme), theme)
    if span.events:
        yield _section("events", (_event(one, theme) for one in span.events), theme)
    logs = [one for one in trace.logs if one.span_id == span.span_id]
    if logs:
        yield _section("logs", _whole_lines(logs, theme), theme)
    if span.links:
        yield _section("links", (f"{clean(one.trace_id, 64)} {clean(one.span_id, 32)}" for one in span.links), theme)
    children = trace.children(span.span_id)
    if children:
        rows = (
            f"{theme.paint(theme.mark(one.status), STATUSES.get(one.status))} {clean(one.span_id, 16)}  "
            f"{name_of(one)}  {took([one], theme)}"
            for one in children[:20]
        )
        more = [theme.paint(f"{theme.ellipsis} {len(children) - 20:,} more", "dim")] if len(children) > 20 else []
        yield _section("below", [*rows, *more], theme)


def _event(event: Event, theme: Theme) -> str:
    told = f"{iso(event.time_ns)[11:]}  {clean(event.name, 100)}  {clean(as_json(event.attributes), 500)}"
    return told if theme.width is None else cut(told, theme.width - len(INDENT), theme.ellipsis)


def _failure(error: Failure, theme: Theme) -> Iterator[str]:
    yield theme.paint(f"{clean(error.type, 200)}: {clean(error.message, WHOLE)}", "red")
    if error.stack:
        for text in _lines(error.stack.rstrip("\n")):
            is_place = text.lstrip().startswith("File ")
            yield theme.paint(text, "dim") if is_place else code(text, theme)
    for cause in error.causes:
        yield theme.paint("caused by", "dim")
        yield from _failure(cause, theme)


def _whole_lines(records: Iterable[Finding | Log], theme: Theme) -> Iterator[str]:
    """Each as it happened, in as many lines as it takes."""
    uncut = msgspec.structs.replace(theme, width=None)
    return _wrapped((line(one, 0, uncut) for one in records), theme, 0)


def _section(title: str, lines: Iterable[str], theme: Theme) -> list[str]:
    return [theme.paint(title, "bold"), *_indented(lines)]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"{INDENT}{text}".rstrip() for text in lines)
