"""What holds for every test: `make test` tries the same examples each time, HYPOTHESIS_PROFILE=explore looks for new."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

pytest_plugins = ["tests.browser"]

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell that starts us in the background, without a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
