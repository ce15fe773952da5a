"""`python -m agent.offline --port N`: run the offline model for a while, for other programs to talk to."""

from __future__ import annotations

import argparse
import sys
import threading

from .server import serve


def main() -> int:
    """Serve until the time is up or somebody presses Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m agent.offline", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long to run (default: an hour)")
    given = parser.parse_args()
    with serve(given.host, given.port) as served:
        sys.stdout.write(f"OPENAI_BASE_URL={served.base_url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait(given.seconds)
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
