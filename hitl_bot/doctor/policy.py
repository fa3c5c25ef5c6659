"""Whether the operator's policy can be used, and which it is."""

from __future__ import annotations

from hitl_bot.doctor.finding import Finding, bad, good
from hitl_bot.policy.file import PolicyFile
from hitl_bot.policy.reading import NO_POLICY, BadPolicy
from hitl_bot.settings import PREFIX, Settings


def check_policy(settings: Settings) -> Finding:
    """Read the policy as the bot does when it starts."""
    if settings.policy is None:
        return good("policy", NO_POLICY)
    try:
        return good("policy", PolicyFile(settings.policy).summary)
    except BadPolicy as error:
        return bad("policy", str(error), f"Correct the file, or {PREFIX}POLICY: the bot doesn't start with it.")
