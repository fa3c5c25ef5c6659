"""Which of the two modes the bot is in: the sealed one, with a key to sign with, or the open one."""

from __future__ import annotations

from hitl_bot.settings import Settings, SettingsError
from metaflow_extensions.hitl.approvals.sealed import OPEN, InvalidKey, Trust, parse_keys


def trust_of(settings: Settings) -> Trust:
    """Return whose signatures count for this bot, and what it signs with: the sealed mode, or the open one.

    Raises
    ------
    SettingsError
        A key can't be used, or there are public keys and none to sign with.
    """
    try:
        public_keys = parse_keys(settings.public_keys or "")
    except InvalidKey as error:
        raise SettingsError(f"METAFLOW_HITL_PUBLIC_KEYS: {error}") from None
    if settings.signing_key is not None:
        # It takes 30 ms to import, and the open mode needs none of it.
        from hitl_bot.keys.private import signing_keys  # noqa: PLC0415

        return Trust.of(public_keys, signing_keys(settings.signing_key.get_secret_value()))
    if public_keys:
        raise SettingsError(
            "METAFLOW_HITL_PUBLIC_KEYS is set and METAFLOW_HITL_SIGNING_KEY is not: flows that know these keys believe "
            "only a bot that signs. Set it to the private key, or to the file that `hitl-bot key new FILE` wrote."
        )
    return OPEN
