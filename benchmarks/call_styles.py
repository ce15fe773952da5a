"""How the OpenAI client may be called, who sees the call, with how many tokens, and what its caller sees of that.

    python -m benchmarks.call_styles                 ours, and the peers that `peers.sh` has installed
    python -m benchmarks.call_styles --only ours

Every style is called against an endpoint on loopback, with the sync and the async client: plain first, then watched.
The table goes to results/call_styles.md. No figure depends on how fast the machine is.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.call_style_watchers import WATCHERS, Seen
from tests.openai_endpoint import CHAT_USAGE, endpoint
from tests.openai_styles import STYLES, Style, answers, got, run

HERE = Path(__file__).parent
RESULT = HERE / "results" / "call_styles.md"
LONGEST_CHILD = 180
CHAT = (CHAT_USAGE["prompt_tokens"], CHAT_USAGE["completion_tokens"])
RESPONSE, EMBEDDING = (20, 5), (3, 0)


async def background(client: Any) -> Any:
    """A response that is queued, then fetched when it is done."""
    queued = await got(client.responses.create(model="gpt-4.1-mini", input="x", background=True))
    return queued, await got(client.responses.retrieve(queued.id))


ROWS: dict[str, tuple[Style, tuple[int, int] | None]] = {
    "chat create": (STYLES["chat create"], CHAT),
    "chat stream, usage not asked for": (STYLES["chat stream"], CHAT),
    "chat stream, usage asked for": (STYLES["chat stream with usage"], CHAT),
    "chat stream, closed after one chunk": (STYLES["chat stream closed early"], None),
    "chat stream, in a with block, left early": (STYLES["chat stream in a with"], None),
    "chat parse": (STYLES["chat parse"], CHAT),
    "chat stream helper": (STYLES["chat stream helper"], CHAT),
    "chat stream helper, left early": (STYLES["chat stream helper left early"], None),
    "chat with_raw_response": (STYLES["chat raw"], CHAT),
    "chat with_raw_response, stream": (STYLES["chat raw stream"], None),
    "chat with_streaming_response, json": (STYLES["chat streaming json"], CHAT),
    "chat with_streaming_response, lines of a stream": (STYLES["chat streaming stream iter_lines"], None),
    "chat with_options": (STYLES["with_options"], CHAT),
    "responses create": (STYLES["responses create"], RESPONSE),
    "responses stream": (STYLES["responses stream"], RESPONSE),
    "responses parse": (STYLES["responses parse"], RESPONSE),
    "responses stream helper": (STYLES["responses stream helper"], RESPONSE),
    "responses stream helper, left early": (STYLES["responses stream helper left early"], None),
    "responses with_raw_response": (STYLES["responses raw"], RESPONSE),
    "responses with_streaming_response, lines of a stream": (STYLES["responses streaming stream"], RESPONSE),
    "responses background, fetched later": (background, RESPONSE),
    "embeddings create": (STYLES["embeddings"], EMBEDDING),
}
"""Styles, and the tokens that the service counts; None where nothing that it sent tells them."""


def main() -> int:
    """Exit code 0, or 1 when a watcher could not be measured."""
    given = _options()
    if given.child:
        print(json.dumps(_child(given.child)))
        return 0
    found = {name: _measured(name) for name in given.only or WATCHERS}
    present = {name: result for name, result in found.items() if result is not None}
    text = _report(present)
    print(text)
    if not given.only:
        RESULT.write_text(text)
    return int(len(present) < len(found))


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.call_styles", description="who sees which calls")
    options.add_argument("--only", nargs="+", choices=WATCHERS, metavar="NAME", help=f"of {', '.join(WATCHERS)}")
    options.add_argument("--child", choices=WATCHERS, help=argparse.SUPPRESS)
    return options.parse_args()


def _child(name: str) -> dict[str, Any]:
    """What one watcher sees of every style, and whether the callers see what those of the plain client see."""
    with endpoint() as server:
        server.answer = answers
        calls = [(row, style, is_async) for row, (style, _) in ROWS.items() for is_async in (False, True)]
        plain = [repr(run(style, server.base_url, is_async)) for _, style, is_async in calls]
        watcher, versions = WATCHERS[name]()
        found = []
        for (row, style, is_async), before in zip(calls, plain, strict=True):
            watcher()
            seen = repr(run(style, server.base_url, is_async))
            found.append({"row": row, "spans": watcher(), "same": seen == before})
    return {"versions": {**versions, "openai": importlib.metadata.version("openai")}, "calls": found}


def _measured(name: str) -> dict[str, Any] | None:
    python = Path(sys.executable) if name == "ours" else HERE.parent / ".bench" / name / "bin" / "python"
    if not python.exists():
        print(f"{name} is left out: there is no environment for it (benchmarks/peers.sh makes one)", file=sys.stderr)
        return None
    done = subprocess.run(
        [python, "-m", "benchmarks.call_styles", "--child", name],
        cwd=HERE.parent, env=_clean_environment(), capture_output=True, text=True, timeout=LONGEST_CHILD, check=False,
    )  # fmt: skip
    if done.returncode:
        print(f"{name}: {done.stderr.strip()[-2000:]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _clean_environment() -> dict[str, str]:
    ours = ("INSTRUMENT_", "OTEL_", "LOGFIRE_", "LANGFUSE_", "OPENAI_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _report(found: dict[str, Any]) -> str:
    names = list(found)
    lines = [
        "# Who sees which call",
        "",
        f"`python -m benchmarks.call_styles`, {time.strftime('%Y-%m-%d', time.gmtime())}. Sync and async client, one "
        "line where both give the same.",
        "",
        *(f"- {name}: {', '.join(f'{k} {v}' for k, v in found[name]['versions'].items())}" for name in names),
        "",
        "A cell says how many spans one call made, the tokens in and out (`~` estimated and marked so, `–` none, `✗` not "
        "what the service counted), and whether the caller sees the very same as with the plain client. Logfire "
        "writes a line of its own at the end of a stream; it is counted as part of the span.",
        "",
        f"| call | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(line for row in ROWS for line in _lines(row, found)),
        "",
        *_totals(found),
    ]
    return "\n".join(lines) + "\n"


def _lines(row: str, found: dict[str, Any]) -> list[str]:
    sync, asynchronous = ([_cell(row, calls[n]) for calls in _calls(row, found)] for n in (0, 1))
    if sync == asynchronous:
        return [f"| {row} | {' | '.join(sync)} |"]
    return [f"| {row} (sync) | {' | '.join(sync)} |", f"| {row} (async) | {' | '.join(asynchronous)} |"]


def _calls(row: str, found: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [[call for call in result["calls"] if call["row"] == row] for result in found.values()]


def _cell(row: str, call: dict[str, Any]) -> str:
    spans = [Seen(*span) for span in call["spans"]]
    count = f"{len(spans)} span{'' if len(spans) == 1 else 's'}"
    return f"{count}, {_tokens(row, spans)}, {'same' if call['same'] else 'changed'}"


def _tokens(row: str, spans: list[Seen]) -> str:
    counted = [span for span in spans if span.input is not None or span.output is not None]
    if not counted:
        return "–"
    total = sum(span.input or 0 for span in counted), sum(span.output or 0 for span in counted)
    shown = f"{total[0]}→{total[1]}"
    if any(span.estimated for span in counted):
        return f"~{shown}"
    return shown if total == ROWS[row][1] else f"✗ {shown}"


def _totals(found: dict[str, Any]) -> list[str]:
    lines = ["| of " + str(2 * len(ROWS)) + " calls | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    for title, judge in (
        ("exactly one span", lambda call: len(call["spans"]) == 1),
        ("the tokens that the service counted", lambda call: _is_right(call)),
        ("caller sees the very same", lambda call: call["same"]),
    ):
        counts = [str(sum(map(judge, result["calls"]))) for result in found.values()]
        lines.append(f"| {title} | {' | '.join(counts)} |")
    known = 2 * sum(truth is not None for _, truth in ROWS.values())
    return [*lines, "", f"Of {known} calls the service tells the tokens; of the others there can only be an estimate."]


def _is_right(call: dict[str, Any]) -> bool:
    spans = [Seen(*span) for span in call["spans"]]
    return ROWS[call["row"]][1] is not None and _tokens(call["row"], spans)[0].isdigit()


if __name__ == "__main__":
    sys.exit(main())
