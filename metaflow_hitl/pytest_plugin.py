"""The fixture ``gate_answers``, for ``pytest_plugins = ["metaflow_hitl.pytest_plugin"]`` in a ``conftest.py``.

It has no entry point, so that no test run gets it without asking for it.
"""

from collections.abc import Iterator

import pytest

from metaflow_hitl.testing import GateAnswers


@pytest.fixture
def gate_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[GateAnswers]:
    """Answers gates as the test prepares it. Flows that the test starts find its environment."""
    with GateAnswers() as answers:
        for name, value in answers.environment.items():
            monkeypatch.setenv(name, value)
        yield answers
