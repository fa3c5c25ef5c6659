"""Fixtures that every kind of test may ask for, one module a subject, and what holds for all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# A busy machine must not fail a property: neither how long an example takes nor how long it takes to draw is a fact.
# CI tries the same examples each time, and refuses no change for what another one did. `make soak` seeks new ones.
_ALIKE = os.environ.get("CI") == "true" and os.environ.get("HITL_SOAK") != "1"
settings.register_profile("facts", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=_ALIKE)
settings.load_profile("facts")
if _ALIKE:
    # Hypothesis also draws the constants of every module that is loaded, and so something else in each worker.
    providers._get_local_constants = providers.Constants  # pyright: ignore[reportPrivateUsage] - there is no setting

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every run that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test may reach the cluster of whoever runs it; those that need one have their own.
os.environ["KUBECONFIG"] = os.devnull
os.environ.pop("KUBERNETES_SERVICE_HOST", None)

# Flows, pods and bots are started hundreds of times. Whoever has this set would have each compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins: list[str] = [
    "tests.fixtures.patience",  # first: the others import it
    "tests.fixtures.attempts",
    "tests.fixtures.cluster",
    "tests.fixtures.engines",
    "tests.fixtures.flows",
    "tests.fixtures.outlets",
    "tests.fixtures.pods",
    "tests.fixtures.s3",
    "tests.fixtures.slack",
]


# What takes long to start or to make: the tests that share it go to one worker, so that it is started or made once.
_SHARED = {"root_of_pods": "pods", "cluster": "cluster", "compiler": "cluster", "browser": "browser"}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the worker's group of a test by the first of these that it uses."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if any(value in ("kubernetes", "argo_server") for value in parameters.values()):
            used.add("cluster")  # by a fixture that starts only what its parameter names
        if group := next((group for name, group in _SHARED.items() if name in used), None):
            item.add_marker(pytest.mark.xdist_group(group))


NO_MOUNT = "this user can't mount a file system"  # a container has no right to, whoever set it up


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what would be skipped in CI: there every part is installed, so a skip is a hole nobody sees."""
    report = yield
    if (
        os.environ.get("CI") == "true"
        and report.skipped
        and not hasattr(report, "wasxfail")
        and NO_MOUNT not in str(report.longrepr)
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show figures, and add up what was tried and what opened; docs/security.md says which ways may open."""
    attempts, opened = Counter[str](), Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "teardown" or report.failed:
                continue
            for name, value in report.user_properties:
                if name == "attack":
                    engine, mode, tried, through = value
                    attempts[f"{engine}, {mode}"] += tried
                    opened[f"{engine}, {mode}"] += through
                elif name == "figure":
                    terminalreporter.write_line(str(value))
    if attempts:
        each = "; ".join(f"{where}: {opened[where]:,} of {count:,}" for where, count in sorted(attempts.items()))
        line = f"attacks: {opened.total():,} of {attempts.total():,} attempts succeeded ({each})"
        terminalreporter.write_line(f"{line}: exactly those that docs/security.md lists")
