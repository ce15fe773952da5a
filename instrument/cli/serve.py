"""`instrument serve`: the runs in a browser, live."""

from __future__ import annotations

import argparse
import hmac
import socket
import sys
import webbrowser
from base64 import urlsafe_b64encode
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from instrument.cli.printing import tell
from instrument.cli.source import folder_of, judge_of, path_of, settings_of, usual
from instrument.errors import InstrumentError

if TYPE_CHECKING:
    from instrument.cli.receiving import Receiver
    from instrument.settings import Settings

LOOPBACK = "127.0.0.1"


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "serve",
        help="show the runs in a browser, live while they are recorded",
        description="Serves a page on this machine only, at an address with a random token, until Ctrl-C. With both "
        "--port and --otlp the address is the same each time, for programs that send to it.",
    )
    parser.add_argument("path", nargs="?", help="a file, or a folder with files (default: the nearest .instrument)")
    parser.add_argument("--path", dest="named_path", metavar="PATH", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="default: any that is free")
    parser.add_argument("--otlp", action="store_true", help="also take in what other programs send by OTLP over HTTP")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError:
        raise InstrumentError(
            "serving the page needs starlette and uvicorn: pip install 'agent-instrument[web]'"
        ) from None
    from instrument.views.server import application, new_token

    path = _folder_to_be(args) if args.otlp else path_of(args)
    if not Path(path).exists():
        raise InstrumentError(f"there is no file or folder {path!r}")
    receiving = _receiver(Path(path), settings_of(args)).routes() if args.otlp else []
    with _listening(args.port) as listener:
        port = listener.getsockname()[1]
        token = _steady_token(path, port) if args.otlp and args.port else new_token()
        address = f"http://{LOOPBACK}:{port}/{token}/"
        notices: list[str] = []
        usual(path, notices)
        app = application(path, token, port, receiving, judge_of(args, path, []))
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stderr.write(f"serving {path}; Ctrl-C ends it\n")
        tell(notices)
        if args.otlp:
            sys.stderr.write(f"receiving with OTEL_EXPORTER_OTLP_ENDPOINT={address.rstrip('/')}\n")
        if args.open:
            webbrowser.open(address)

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                app.state.end()
                super().handle_exit(sig, frame)

        Server(config).run(sockets=[listener])
    return 0


def _steady_token(path: str, port: int) -> str:
    """As secret as `views.server.new_token`, and the same again: programs that send here outlive a restart."""
    from instrument.installation import installation_key

    told = f"serve {Path(path).resolve()} {port}"
    return urlsafe_b64encode(hmac.digest(installation_key(), told.encode(), "sha256")[:18]).decode()


def _folder_to_be(args: argparse.Namespace) -> str:
    """The recording folder, made where there is none yet: what is received needs one."""
    from instrument.store.folder import create

    named = args.path or args.named_path
    folder = Path(named) if named else folder_of(args) or settings_of(args).folder
    if folder.is_file():
        raise InstrumentError(f"{folder} is a file: what is received needs a recording folder")
    create(folder)
    return str(folder)


def _receiver(folder: Path, settings: Settings) -> Receiver:
    from instrument.cli.receiving import Receiver
    from instrument.pricing import Prices
    from instrument.redact import redactor_of
    from instrument.store.folder import LEDGER

    ledger = settings.ledger_url if settings.ledger.url is not None else str(folder / LEDGER)
    return Receiver(folder, ledger, Prices(settings.prices), redactor_of(settings))


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)  # who connects as soon as the address is printed waits until the server is ready
    except OSError as error:
        listener.close()
        raise InstrumentError(f"port {port} cannot be had ({error.strerror}): name another, or none") from None
    return listener


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)
