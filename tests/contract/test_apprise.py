"""Apprise against a real server: what it sends, and what it says when it can't."""

from __future__ import annotations

import logging

import pytest

from metaflow_extensions.hitl.approvals.errors import NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.notifiers.apprise import AppriseNotifier
from tests.contract.asked import HOSTILE, everything
from tests.fixtures.approvals import HandClock, approval, pathspec
from tests.fixtures.outlets import Web


def apprise(*urls: str) -> AppriseNotifier:
    return AppriseNotifier(" ".join(urls), clock=HandClock(), script="train.py")


def test_apprise_sends_title_and_body(web: Web, apprise_loaded: None) -> None:
    """The service gets a title of one line, and the question with its id, links and commands."""
    asked = everything()
    apprise(f"json://127.0.0.1:{web.port}/").post(asked)
    [body] = web.bodies
    assert body["title"] == "Approval needed: Deploy fraud v7? Accuracy 94.0%"
    for words in (asked.id, f"hitl approve {asked.id} --set deploy_target=...", "https://x.slack.com/p1"):
        assert words in body["message"]


def test_apprise_asks_nothing_of_a_service(web: Web, apprise_loaded: None) -> None:
    """Some services read mentions out of a text: none is left in values, though a person still reads them."""
    asked = approval(message=HOSTILE, approvers=("@here", "<!subteam^S0RISK>"))
    apprise(f"json://127.0.0.1:{web.port}/").post(asked)
    [body] = web.bodies
    text = f"{body['title']}\n{body['message']}"
    for executed in ("<!", "<@", "@everyone", "@here", "`", "](", "https://evil", "<script"):
        assert executed not in text
    assert "<!channel> <@U0CAROL>" in text.replace("\u2060", "")


def test_every_address_is_sent_to(web: Web, apprise_loaded: None) -> None:
    """Blanks, commas and line breaks separate addresses; a comma inside of one does not."""
    address = f"json://127.0.0.1:{web.port}/"
    AppriseNotifier(f"{address}a,b?+X=1,2, {address}\n{address}", clock=HandClock()).post(approval())
    assert len(web.bodies) == 3


def test_no_service_takes_it(web: Web, apprise_loaded: None) -> None:
    """It is tried again, and the error names the place of the address and not what is secret in it."""
    notifier = apprise(f"json://user:sesame@127.0.0.1:{web.port}/")
    web.answers.append((500, "", {}))
    with pytest.raises(NotifierUnavailable, match=r"json://… \(METAFLOW_HITL_APPRISE_URLS, address 1\)") as failed:
        notifier.post(approval())
    assert "sesame" not in str(failed.value)
    notifier.post(approval())
    assert len(web.bodies) == 2


def test_one_service_that_fails_does_not_ask_the_others_twice(
    web: Web, apprise_loaded: None, caplog: pytest.LogCaptureFixture
) -> None:
    """What one service took is asked; the log names the other, once."""
    notifier = apprise("json://127.0.0.1:1/", f"json://127.0.0.1:{web.port}/")
    with caplog.at_level(logging.ERROR, "metaflow_extensions"):
        for task in ("1", "2", "1"):
            notifier.post(approval(pathspec(task=task)))
    assert len(web.bodies) == 2
    told = [record.getMessage() for record in caplog.records if record.name.startswith("metaflow_extensions")]
    assert len(told) == 1
    assert told[0].startswith("Questions don't reach json://… (METAFLOW_HITL_APPRISE_URLS, address 1). Correct it")


@pytest.mark.parametrize("url", ["nosuch://sesame", "sesame", ""])
def test_address_that_apprise_does_not_know(apprise_loaded: None, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is refused by its place, and neither shown nor logged."""
    with pytest.raises(NotifierRefused, match="METAFLOW_HITL_APPRISE_URLS, address 1") as refused:
        apprise(url)
    assert "sesame" not in str(refused.value) + caplog.text
