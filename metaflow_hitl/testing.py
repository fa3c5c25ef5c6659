"""Answers gates in tests and CI, without a person and without a bot. docs/testing.md shows how."""

from metaflow_hitl._gate_answers import GateAnswers, NotATest

__all__ = ["GateAnswers", "NotATest"]
