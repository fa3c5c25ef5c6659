"""Which notifiers there are: ours as far as they are set up, and those of other packages."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hitl_bot.telemetry.logs import _CAUSES, ProblemLog
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import NotifierBusy, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Notifier
from metaflow_extensions.hitl.approvals.record import Post, TrailEvent
from metaflow_extensions.hitl.notifiers.registry import UnknownNotifier, check_names, configured
from metaflow_extensions.hitl.stores import MemoryStore
from tests.fixtures.approvals import NOW, Bench, HandClock, approval, approving
from tests.fixtures.outlets import Web

PAGER = """
    from metaflow_extensions.hitl.approvals.record import Post

    class Pager:
        def __init__(self, settings):
            self.key = settings["METAFLOW_HITL_PAGER_KEY"]

        def post(self, approval):
            {post}

        def update(self, approval, post):
            raise ZeroDivisionError("a defect")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a package with an entry point, as pip leaves it on the disk."""

    def write(name: str = "pager", *, post: str = "return None", module: str = "pager_of_another_package") -> None:
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(PAGER).format(post=post))
        described = tmp_path / f"{module}-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (described / "entry_points.txt").write_text(f"[metaflow_hitl.notifiers]\n{name} = {module}:Pager\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    monkeypatch.delitem(sys.modules, "pager_of_another_package", raising=False)
    return write


def pager(**settings: str) -> Notifier:
    return configured({"METAFLOW_HITL_PAGER_KEY": "k", **settings}, clock=HandClock())["pager"]


def test_only_what_is_set_up_is_there() -> None:
    """A notifier without its setting is left to who has it."""
    assert configured({}, clock=HandClock()) == {}
    settings = {
        "METAFLOW_HITL_SLACK_WEBHOOK": "https://hooks.slack.com/services/x",
        "METAFLOW_HITL_SMTP_HOST": "smtp.example.com",
        "METAFLOW_HITL_APPRISE_URLS": "json://localhost",
    }
    assert sorted(configured(settings, clock=HandClock())) == ["apprise", "email", "slack_webhook"]


@pytest.mark.parametrize("name", ["slack", "slack_webhook", "email", "apprise", "terminal"])
def test_our_names_are_known_set_up_or_not(name: str) -> None:
    """What is not set up here may be set up for the bot."""
    check_names([name])


def test_an_unknown_name_is_refused_with_those_there_are(install: Callable[..., None]) -> None:
    """The error lists ours and other packages'."""
    with pytest.raises(UnknownNotifier, match=r"no notifier 'pager'\. Use one of slack, slack_webhook, email, apprise"):
        check_names(["slack", "pager"])
    install()
    check_names(["slack", "pager"])
    with pytest.raises(UnknownNotifier, match=r"no notifier 'mails'\. Use one of .*terminal, pager\."):
        check_names(["mails"])


def test_nobody_takes_one_of_our_names(install: Callable[..., None]) -> None:
    """Another package's entry point named slack is passed over."""
    install("slack")
    assert configured({}, clock=HandClock()) == {}


def test_another_packages_notifier_gets_all_settings(install: Callable[..., None]) -> None:
    """Its factory is called with METAFLOW_HITL_* by their whole names, and what it returns is kept under its name."""
    install(post='return Post(notifier="whatever", at=approval.requested_at, ts=self.key)')
    assert pager(METAFLOW_HITL_PAGER_KEY="sesame").post(approval()) == Post(notifier="pager", at=NOW, ts="sesame")


def test_another_package_that_returns_nothing_is_not_asked_again(install: Callable[..., None]) -> None:
    """The record shall know that the question was sent, even where there is nothing to update."""
    install()
    assert pager().post(approval()) == Post(notifier="pager", at=NOW)


def test_another_packages_defect_is_a_failure_to_be_tried_again(install: Callable[..., None]) -> None:
    """Whatever it raises is reported as its own problem, for the question as for the answer."""
    install(post='raise KeyError("oops")')
    with pytest.raises(NotifierUnavailable, match=r"pager \(pager_of_another_package:Pager\) failed: KeyError"):
        pager().post(approval())
    with pytest.raises(NotifierUnavailable, match="failed: ZeroDivisionError: a defect"):
        pager().update(approval(), Post(notifier="pager", at=NOW))


def test_another_package_that_cant_be_set_up_is_refused(install: Callable[..., None]) -> None:
    """A factory that fails names what to fix; it is called again the next time."""
    install()
    notifier = configured({}, clock=HandClock())["pager"]
    for _ in range(2):
        with pytest.raises(NotifierRefused, match="can't be set up: KeyError: 'METAFLOW_HITL_PAGER_KEY'"):
            notifier.post(approval())


def test_one_that_fails_stops_neither_the_others_nor_the_record(install: Callable[..., None], web: Web) -> None:
    """Set up wrongly, broken or away: the others ask, and the record stands and says who did."""
    install(post='raise KeyError("oops")')
    bench = Bench()
    settings = {
        "METAFLOW_HITL_PAGER_KEY": "k",
        "METAFLOW_HITL_SMTP_HOST": "smtp.example.com",  # and no sender
        "METAFLOW_HITL_SLACK_WEBHOOK": web.url,
    }
    bench.cases.posting.notifiers = {**bench.cases.posting.notifiers, **configured(settings, clock=bench.clock)}
    asked = bench.ask(notifiers=("pager", "email", "slack_webhook", "memory"))
    assert [post.notifier for post in asked.posts] == ["slack_webhook", "memory"]
    assert bench.ledger.read(asked.id).approval == asked
    outcome = bench.cases.post(bench.ledger.read(asked.id))
    assert len(web.bodies) == 1
    assert {type(problem) for problem in outcome.pending} == {NotifierRefused, NotifierUnavailable}


def test_a_post_that_nobody_can_update_holds_nothing_up(web: Web) -> None:
    """Who settles need not have the notifier of an email or a webhook: there is nothing to update."""
    bench = Bench(store=MemoryStore())
    webhook = configured({"METAFLOW_HITL_SLACK_WEBHOOK": web.url}, clock=bench.clock)
    bench.cases.posting.notifiers = {**bench.cases.posting.notifiers, **webhook}
    asked = bench.ask(notifiers=("slack_webhook", "memory"))
    del bench.cases.posting.notifiers["slack_webhook"]
    decided = bench.ledger.update(
        asked.id, TrailEvent.DECIDED, bench.clock(), lambda one: transitions.decide(one, approving(at=bench.clock()))
    )
    outcome = bench.cases.carry_out(decided)
    assert outcome.pending == ()
    assert outcome.approval.settlement is not None


def test_problems_are_remembered_within_bounds(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand causes are kept in mind, however many there are; waiting for one's turn is none."""
    problems = ProblemLog(HandClock())
    problems.report("slack", approval().id, NotifierBusy("Others are before it.", seconds=1))
    assert len(problems._reported) == 0
    for number in range(_CAUSES + 10):
        problems.report("slack", approval().id, NotifierRefused(f"cause {number}"))
    assert len(problems._reported) == _CAUSES
