"""How much a test tries: little in every run, all of it in ``make soak``."""

from __future__ import annotations

import os

IS_SOAK = os.environ.get("HITL_SOAK") == "1"


def soak(small: int, full: int) -> int:
    """Return how often to try: ``full`` in ``make soak``, ``small`` otherwise."""
    return full if IS_SOAK else small
