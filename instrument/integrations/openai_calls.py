"""One call to a model through the OpenAI client: what is asked, how it is sent, and the span that it becomes."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from instrument.attributes import (
    API_TYPE,
    ERROR_TYPE,
    OPERATION,
    PROVIDER,
    RETRIED_FOR,
    RETRIES,
    SERVER_ADDRESS,
    SERVER_PORT,
    STATUS_CODE,
)
from instrument.integrations import openai_later
from instrument.integrations import openai_services as services
from instrument.integrations import openai_stream_usage as stream_usage
from instrument.integrations.openai_bodies import Body, body_of, end_with_answer, end_with_body
from instrument.pieces import said_by
from instrument.record.context import Place, current, leave
from instrument.record.http_bodies import watch
from instrument.record.plan import Plan
from instrument.record.recorder import Recorder
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan, begin
from instrument.record.streams import Chunks, Closing, Nobody, Watched, put
from instrument.record.switch import installed
from instrument.request import request

RAW = "X-Stainless-Raw-Response"
Args = tuple[Any, ...]
Keywords = dict[str, Any]
Outer = LiveSpan | Place | None


class Call(NamedTuple):
    """One request to a model, as it is about to be sent."""

    operation: str
    url: str
    body: Keywords
    base_url: str
    provider: str | None
    is_raw: bool
    streams: bool

    @property
    def model(self) -> str:
        """The model that is asked."""
        return str(self.body.get("model") or "")

    @property
    def endpoint(self) -> tuple[str, str]:
        """What decides whether an option is known: the service and the model."""
        return self.base_url, self.model


class ClientPlan(Plan):
    """The plan of a patched call. `sending` is the client's id and the address while the request is under way.

    `retries` counts how often the client has sent it again.
    """

    __slots__ = ("retries", "sending")
    retries: int
    sending: tuple[int, str] | None


class Exchange:
    """A call that is being made: `args` and `kwargs` are what to send, then one of `succeed` and `fail`."""

    def __init__(self, call: Call, span: LiveSpan, outer: Outer, args: Args, kwargs: Keywords) -> None:
        self.call = call
        self.span = span
        self.outer = outer
        self.args = args
        self.kwargs = kwargs
        self._asks_usage = False
        self._unparsed: list[Any] = []

    def ask_for_usage(self) -> None:
        """Send the same request with the wish for usage added, where the caller did not say either way."""
        call = self.call
        has_option = call.operation in ("chat", "completions") and call.streams and not call.is_raw
        if has_option and self.span.recorder.asks_stream_usage and not stream_usage.is_refused(call.endpoint):
            asking = stream_usage.asking(options_of(self.args, self.kwargs), call.body.get("stream_options"))
            if asking is not None:
                self._send(asking)
                self._asks_usage = True

    def keep_unparsed(self) -> None:
        """Keep the answer where the client parses its content afterwards: that may fail, and the tokens are spent."""
        options, box = options_of(self.args, self.kwargs), self._unparsed
        parse = options.post_parser
        if self.call.is_raw or not callable(parse):
            return

        def parsing(whole: Any) -> Any:
            box.append(whole)
            return parse(whole)

        self._send(options.model_copy(update={"post_parser": parsing}))

    def _send(self, options: Any) -> None:
        if len(self.args) > 1:
            self.args = (self.args[0], options, *self.args[2:])
        else:
            self.kwargs = {**self.kwargs, "options": options}

    def may_be_our_doing(self, error: Exception) -> bool:
        """Whether the endpoint may have refused the request only because of the wish that we added."""
        asked, self._asks_usage = self._asks_usage, False
        return asked and stream_usage.may_be_refused(error, self.call.endpoint)

    def was_our_doing(self) -> None:
        """The caller's own request was not refused: remember the endpoint."""
        stream_usage.remember_refused(self.call.endpoint)

    def leave(self, destroyed: bool) -> None:
        """The request is over: what is current is what was before."""
        leave(self.span, self.outer, destroyed=destroyed)
        if isinstance(self.span.plan, ClientPlan):
            self.span.plan.sending = None

    def fail(self, error: BaseException) -> None:
        """The request, or an attempt to send it, raised."""
        code = getattr(error, "status_code", None)
        if isinstance(code, int):
            self.span.set({STATUS_CODE: code, ERROR_TYPE: type(error).__name__})
        if self._unparsed:
            safely(self.span.recorder.read_answer, self.span, self._unparsed[-1])
        self.span.fail(error)

    def succeed(self, result: Any) -> bool:
        """End the span with the answer, or let the stream end it."""
        call, span = self.call, self.span
        if call.is_raw or hasattr(result, "iter_raw"):
            self._follow_body(result.http_response if call.is_raw else result)
        elif call.streams and hasattr(result, "_iterator"):
            self._follow_stream(result)
        else:
            safely(openai_later.expect, span, result)
            end_with_answer(span, result)
        return True

    def give_up(self, result: Any) -> None:
        """What came cannot be followed: end the span, but hide from the caller what we asked for."""
        if self._asks_usage and not isinstance(result._iterator, Watched):
            result._iterator = Watched(result._iterator, Nobody(), stream_usage.is_ours)
        self.span.end()
        self.span.hand_over()

    def _follow_stream(self, result: Any) -> None:
        chunks = Chunks(self.span, said_by(self.call.operation), openai_later.expect_rest)
        is_ours = stream_usage.is_ours if self._asks_usage else None
        put(result, Watched(result._iterator, chunks, is_ours), Closing(chunks))
        if self._asks_usage:
            stream_usage.remember_known(self.call.endpoint)

    def _follow_body(self, response: Any) -> None:
        chunks = Chunks(self.span, said_by(self.call.operation), openai_later.expect_rest)
        body = body_of(response)
        if body is None:
            watch(response, Body(chunks, response))
        else:
            safely(openai_later.expect, self.span, body)
            end_with_body(chunks, body)


def begin_exchange(client: Any, args: Args, kwargs: Keywords) -> Exchange | None:
    """Open the span of a call and make it current; None for what is no call of a model, or is seen already.

    Raises what a guard refuses the call with.
    """
    recorder, outer = installed(), current.get()
    if recorder is None:
        return None
    call = read_call(client, args, kwargs)
    if call is None or _is_sending(outer, client, call):
        return None
    span = begin(recorder, *_described(recorder, client, call, outer))
    if span is None:
        return None
    span.model_call = None  # a call that a hook of the HTTP client makes meanwhile is one of its own
    exchange = Exchange(call, span, outer, args, kwargs)
    safely(exchange.ask_for_usage)
    safely(exchange.keep_unparsed)
    current.set(span)
    return exchange


def note_retry(client: Any, response: Any) -> None:
    """The client waits before it sends the request of the call that is under way again."""
    under_way = _under_way(client)
    if under_way is not None:
        span, plan = under_way
        plan.retries += 1
        span.set({RETRIES: plan.retries})
        failure = sys.exc_info()[0]
        why = {ERROR_TYPE: failure.__name__} if failure is not None else {}
        span.event("retry", **(why if response is None else {STATUS_CODE: response.status_code}))


def note_sending_again(client: Any) -> None:
    """The client has waited: what has passed so far is none of the time in which the model answers."""
    under_way = _under_way(client)
    if under_way is not None:
        span, _ = under_way
        span.set({RETRIED_FOR: round((span.recorder.clock() - span.started) / 1e9, 6)})


def _under_way(client: Any) -> tuple[LiveSpan, ClientPlan] | None:
    """The call that this client is sending."""
    span = current.get()
    plan = span.plan if isinstance(span, LiveSpan) else None
    if isinstance(span, LiveSpan) and isinstance(plan, ClientPlan) and plan.sending and plan.sending[0] == id(client):
        return span, plan
    return None


def read_call(client: Any, args: Args, kwargs: Keywords) -> Call | None:
    """What is asked of a model, or None for any other request."""
    options = options_of(args, kwargs)
    path = urlsplit(options.url).path.rstrip("/")
    ends = [end for end in services.OPERATIONS if path.endswith(end)]
    if not ends or options.method.lower() != "post" or not isinstance(options.json_data, dict):
        return None
    headers = options.headers if isinstance(options.headers, dict) else {}
    return Call(
        operation=services.OPERATIONS[max(ends, key=len)],
        url=options.url,
        body={**options.json_data, **(options.extra_json or {})},
        base_url=str(client.base_url),
        provider=services.provider_of(client),
        is_raw=bool(headers.get(RAW)),
        streams=bool(kwargs.get("stream")),
    )


def options_of(args: Args, kwargs: Keywords) -> Any:
    """The client's options of a request."""
    return args[1] if len(args) > 1 else kwargs["options"]


def _is_sending(place: Any, client: Any, call: Call) -> bool:
    """Whether another wrapper around the same client has seen this very call already."""
    plan = place.plan if isinstance(place, LiveSpan) else None
    return isinstance(plan, ClientPlan) and plan.sending == (id(client), call.url)


def _described(recorder: Recorder, client: Any, call: Call, outer: Outer) -> Any:
    """What `begin` needs: plan, place, no instance, the captured request, and the request itself."""
    asked = request(call.body)
    attributes = {
        **asked.attributes(),
        OPERATION: services.SEMANTIC[call.operation],
        **_server(call),
    }
    if call.operation in services.API_TYPES:
        attributes[API_TYPE] = services.API_TYPES[call.operation]
    kind = "embedding" if call.operation == "embeddings" else "llm"
    plan = ClientPlan(f"{services.SEMANTIC[call.operation]} {call.model}", kind, attributes=attributes)
    plan.sending, plan.retries = (id(client), call.url), 0
    return plan, outer, None, recorder.arguments(asked.said()), call.body


def _server(call: Call) -> dict[str, Any]:
    parts = urlsplit(call.base_url)
    found = {SERVER_ADDRESS: parts.hostname, SERVER_PORT: parts.port, PROVIDER: call.provider}
    return {name: value for name, value in found.items() if value}
