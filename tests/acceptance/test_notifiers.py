"""Real flows that ask in every way at once, and what people are shown of values that would be something else."""

from __future__ import annotations

import pytest

from hitl_bot.sandbox.mentions import visible_text

ASKING = """
@step
def start(self):
    self.model = {model!r}
    self.next(self.deploy)

@hitl(message="Deploy {{self.model}}?", {arguments})
@step
def deploy(self):
    self.next(self.end)

@step
def end(self):
    pass
"""
HOSTILE = (
    "<!channel> <@U0CAROL> <https://evil.example|click> @everyone `rm` [a](https://evil.example) <b>bold</b> "
    "\x1b[31mred \x1b]0;title\x07"
)
EVERYWHERE = 'notifier=["slack", "slack_webhook", "email", "apprise", "terminal"]'


@pytest.fixture
def outlets(sandbox, web, mail_server, trusted, certificate):
    """The settings for all of them."""
    return {
        "METAFLOW_HITL_SLACK_BOT_TOKEN": sandbox.bot_token,
        "METAFLOW_HITL_SLACK_API_URL": sandbox.api_url,
        "METAFLOW_HITL_SLACK_CHANNEL": "#ml-approvals",
        "METAFLOW_HITL_SLACK_WEBHOOK": web.url,
        "METAFLOW_HITL_SMTP_HOST": "localhost",
        "METAFLOW_HITL_SMTP_PORT": str(mail_server.port),
        "METAFLOW_HITL_SMTP_FROM": "HITL <hitl@example.com>",
        "METAFLOW_HITL_EMAIL_TO": "bob@example.com",
        "METAFLOW_HITL_APPRISE_URLS": f"json://127.0.0.1:{web.port}/apprise",
        "SSL_CERT_FILE": str(certificate.file),
    }


def test_values_are_shown_everywhere_and_executed_nowhere(flow, outlets, control, web, mail_server):
    """An artifact, a name and a reason full of mentions, links and code reach everybody as text, and ring nobody."""
    gated = flow(ASKING.format(model=HOSTILE, arguments=EVERYWHERE), **outlets, METAFLOW_USER="<!here>")
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals(wanted=lambda one: len(one.posts) == 4)
    run.wait_for_line("Waiting for approval: Deploy <!channel> <@U0CAROL>")
    gated.hitl("reject", approval.id, "--reason", HOSTILE)
    assert run.wait() != 0
    shown = "".join([run.output, *(gated.hitl(*words).output for words in (["show", approval.id], ["list", "--all"]))])
    assert "\x1b[31m" not in shown
    assert "\x1b]0;" not in shown

    [message] = control.messages("#ml-approvals")
    assert message["mentions"] == []
    shown = message["plain"].replace("&lt;", "<").replace("&gt;", ">")
    assert shown.count("<!channel> <@U0CAROL> <https://evil.example|click>") == 2
    assert "<!here>" in shown

    by_webhook = next(body for body in web.bodies if "blocks" in body)
    assert "<!channel>" not in by_webhook["text"]
    unescaped = [block for block in by_webhook["blocks"] if "<!channel>" in str(block)]
    assert all(block["text"]["type"] == "plain_text" for block in unescaped)
    assert "@everyone" in visible_text(by_webhook["text"], by_webhook["blocks"])

    by_apprise = next(body for body in web.bodies if "blocks" not in body)
    text = f"{by_apprise['title']}\n{by_apprise['message']}"
    assert not [bad for bad in ("<!", "<@", "@everyone", "`", "](", "https://evil") if bad in text]
    assert "<!channel> <@U0CAROL>" in text.replace("\u2060", "")

    [mail] = mail_server.mails
    html = mail.message.get_body(("html",)).get_content()
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "<b>" not in html
    assert 'href="https://evil' not in html
    assert approval.id in mail.message.get_body(("plain",)).get_content()


def test_one_that_fails_stops_nobody(flow, outlets, web, mail_server):
    """With Slack's token wrong and Apprise's service away the run says both, asks by the others, and goes on."""
    away = {"METAFLOW_HITL_SLACK_BOT_TOKEN": "xoxb-wrong", "METAFLOW_HITL_APPRISE_URLS": "json://127.0.0.1:1/"}
    gated = flow(ASKING.format(model="v7", arguments=EVERYWHERE), **{**outlets, **away})
    run = gated.start("run")
    run.wait_for_line("could not be posted: Slack rejects the bot token.")
    run.wait_for_line("could not be posted: Apprise could not send to json://…")
    (approval,) = gated.wait_for_approvals()
    assert [post.notifier for post in approval.posts] == ["slack_webhook", "email"]
    assert (len(web.bodies), len(mail_server.mails)) == (1, 1)
    gated.approvals.approve(approval.id)
    assert run.wait() == 0, run.output
    assert "xoxb-wrong" not in run.output


def test_what_is_not_set_up_is_left_to_the_bot(flow):
    """A notifier without its setting on this machine is named in the run's log."""
    gated = flow(ASKING.format(model="v7", arguments='notifier=["email", "terminal"]'))
    run = gated.start("run")
    run.wait_for_line("email is not set up here (METAFLOW_HITL_SMTP_HOST), so the question is left to the bot there.")
    run.wait_for_line("Waiting for approval")
    assert "terminal is not set up" not in run.output


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [('notifier=["slack", "pigeon"]', {}), ("", {"METAFLOW_HITL_NOTIFIER": "terminal, pigeon"})],
)
def test_an_unknown_notifier_is_refused_before_anything_runs(flow, arguments, settings):
    """In the step or in the setting: the flow is not loaded, and the names that there are are listed."""
    gated = flow(ASKING.format(model="v7", arguments=arguments), **settings)
    checked = gated.call("check")
    assert checked.process.returncode != 0
    words = "There is no notifier 'pigeon'. Use one of slack, slack_webhook, email, apprise, terminal"
    assert words in " ".join(checked.output.split())


def test_several_are_named_with_commas(flow, web):
    """METAFLOW_HITL_NOTIFIER takes several names."""
    settings = {"METAFLOW_HITL_NOTIFIER": "slack_webhook, terminal", "METAFLOW_HITL_SLACK_WEBHOOK": web.url}
    gated = flow(ASKING.format(model="v7", arguments=""), **settings)
    run = gated.start("run")
    gated.wait_for_approvals(wanted=lambda one: bool(one.posts))
    run.wait_for_line("Waiting for approval: Deploy v7?")
    assert len(web.bodies) == 1


def test_a_webhook_alone_is_how_slack_asks(flow, web):
    """With nothing set up but the webhook, `notifier="slack"` asks by it, and says so in the record and the log."""
    gated = flow(ASKING.format(model="v7", arguments='notifier="slack"'), METAFLOW_HITL_SLACK_WEBHOOK=web.url)
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals(wanted=lambda one: bool(one.posts))
    assert [post.notifier for post in approval.posts] == ["slack_webhook"]
    assert "Deploy v7?" in str(web.bodies)
    gated.approvals.approve(approval.id)
    assert run.wait() == 0, run.output
    assert "The question is asked in Slack by METAFLOW_HITL_SLACK_WEBHOOK, without buttons." in run.output
    assert "nobody has been asked" not in run.output
    assert "left to the bot" not in run.output


def test_a_question_that_reaches_nobody_is_an_error_in_the_log(flow):
    """Nothing here can deliver it: the log says so, and what the deadline will do, and names a misspelt setting."""
    arguments = 'notifier="slack", timeout="1h", on_timeout="approve"'
    gated = flow(ASKING.format(model="v7", arguments=arguments), METAFLOW_HITL_SLACK_BOT_TOKN="xoxb-1")
    run = gated.start("run")
    said = run.wait_for_line("nobody has been asked")
    assert "Error: " in said
    assert "could not be delivered by slack" in said
    assert "At the deadline the step is approved, although nobody has seen the question." in said
    assert "Did you mean METAFLOW_HITL_SLACK_BOT_TOKEN?" in run.output
