"""Who vouches for the records."""

from __future__ import annotations

from hitl_bot.doctor.finding import Finding, bad, good, unknown
from hitl_bot.settings import Settings, SettingsError
from hitl_bot.trust import trust_of


def check_keys(settings: Settings) -> Finding:
    """Say what the bot signs with, or that nobody vouches for what it records."""
    try:
        trust = trust_of(settings)
    except SettingsError as error:
        return bad(
            "keys", str(error), "Create a key with `hitl-bot key new FILE`, or unset both settings for the open mode."
        )
    if trust.signer is None:
        return unknown(
            "keys",
            "open mode: no one vouches for answers, and anyone who can write to the store can answer",
        )
    newest, *older = trust.signer.public_keys
    also = f"; also holds {', '.join(key.id for key in older)}" if older else ""
    return good("keys", f"sealed mode: signs with key {newest.id}{also}. Flows need METAFLOW_HITL_PUBLIC_KEYS={newest}")
