"""The embedded offline model: a server on loopback that speaks OpenAI's API and reviews Python by static analysis.

It plays the outside world for the agent: it imports nothing of the library that is being shown, and knows only what a
request says.
"""

from __future__ import annotations

from .server import Served, serve

__all__ = ["Served", "serve"]
