"""`python -m instrument`: the command line."""

from __future__ import annotations

import sys

from instrument.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
