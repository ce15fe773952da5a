"""Where records go and how: our settings first, then the standard variables `OTEL_EXPORTER_OTLP_*`, then defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from instrument.errors import SettingsError
from instrument.redact import Redactor

HTTP, GRPC = "http/protobuf", "grpc"
SIGNALS = ("traces", "logs", "metrics")
LATEST_GENAI = "gen_ai_latest_experimental"

_PREFIX = "OTEL_EXPORTER_OTLP_"
_DEFAULTS = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}


class Target(NamedTuple):
    """One signal's target. `timeout` is in seconds, for a whole request; certificates are paths of PEM files."""

    url: str
    protocol: str = HTTP
    headers: tuple[tuple[str, str], ...] = ()
    gzip: bool = True
    timeout: float = 10.0
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None

    @property
    def takes_packed(self) -> bool:
        """Whether requests are compressed by us; gRPC does it by itself."""
        return self.gzip and self.protocol == HTTP

    @property
    def shown(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port is not None else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def signals_of(environ: Mapping[str, str], among: Sequence[str] = SIGNALS) -> list[str]:
    """Those that no `OTEL_*_EXPORTER` has switched off."""
    return [signal for signal in among if environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() != "none"]


def target_of(
    signal: str,
    environ: Mapping[str, str],
    endpoint: str | None = None,
    protocol: str | None = None,
) -> Target:
    """The target of a signal. Raises `SettingsError` where a variable cannot be used."""

    def told(name: str) -> tuple[str, str]:
        for variable in (f"{_PREFIX}{signal.upper()}_{name}", f"{_PREFIX}{name}"):
            if value := environ.get(variable, "").strip():
                return variable, value
        return "", ""

    spoken = protocol or told("PROTOCOL")[1] or HTTP
    if spoken not in (HTTP, GRPC):
        raise SettingsError(f"{told('PROTOCOL')[0]} = {spoken}: the sink otlp speaks {HTTP} and {GRPC}")
    own = environ.get(f"{_PREFIX}{signal.upper()}_ENDPOINT", "").strip()
    base = endpoint or environ.get(f"{_PREFIX}ENDPOINT", "").strip() or _DEFAULTS[spoken]
    is_exact = bool(own) and endpoint is None
    return Target(
        url=_url(own if is_exact else base, spoken, signal, is_exact, told("INSECURE")[1].lower() == "true"),
        protocol=spoken,
        headers=tuple({unquote(name).lower(): value for name, value in _pairs(told("HEADERS")[1])}.items()),
        gzip=told("COMPRESSION")[1].lower() != "none",
        timeout=_seconds(*told("TIMEOUT")),
        certificate=told("CERTIFICATE")[1] or None,
        client_certificate=told("CLIENT_CERTIFICATE")[1] or None,
        client_key=told("CLIENT_KEY")[1] or None,
    )


def _url(given: str, protocol: str, signal: str, is_exact: bool, insecure: bool) -> str:
    if "://" not in given:
        given = f"{'http' if insecure or protocol == HTTP else 'https'}://{given}"
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError("the endpoint of the sink otlp must be http://host:port or https://host:port")
    if protocol == GRPC or is_exact:
        return given
    return f"{given.rstrip('/')}/v1/{signal}"


def _seconds(variable: str, text: str) -> float:
    """The standard gives a timeout in seconds in some languages and in milliseconds in others: in Python in seconds."""
    if not text:
        return 10.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise SettingsError(f"{variable} = {text}: must be a number of seconds above 0 and below 3600")
    return seconds


def resource_of(environ: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    """What the standard variables say of this process, without secrets."""
    found = redactor.value(dict(_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))))
    service = environ.get("OTEL_SERVICE_NAME", "").strip()
    return {**found, "service.name": service} if service else found


def _pairs(text: str) -> list[tuple[str, str]]:
    """`key1=value1,key2=value2`, as the standard variables hold several."""
    parts = (part.partition("=") for part in text.split(",") if "=" in part)
    return [(name.strip(), unquote(value.strip())) for name, _, value in parts if name.strip()]


def dialect_of(environ: Mapping[str, str], names: str | None) -> str:
    """The names that are used: those of the setting, else the newest where the standard variable asks for them."""
    if names is not None:
        return names
    wanted = environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    return "latest" if LATEST_GENAI in [word.strip() for word in wanted] else "1.41"
