"""The registry of notifiers, held to what the notifiers read and to what the bot calls a secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hitl_bot.settings import Settings
from metaflow_extensions.hitl.notifiers import registry

NOTIFIERS = Path(registry.__file__).parent
NAMED = re.compile(r'^[A-Z]+ = "(METAFLOW_HITL_[A-Z_]+)"', re.MULTILINE)


def test_every_setting_that_a_notifier_reads_is_registered() -> None:
    """No module of the notifiers names a setting of its own that the registry does not have."""
    read = {name for path in NOTIFIERS.rglob("*.py") for name in NAMED.findall(path.read_text("utf-8"))}
    assert read
    assert read <= set(registry.SETTINGS)


def test_names_are_given_once() -> None:
    """No two notifiers share a name or a setting."""
    names = [setting.name for kind in registry.KINDS for setting in kind.settings]
    assert len(names) == len(set(names))
    assert len(registry.BUILT_IN) == len(set(registry.BUILT_IN))


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_the_bot_and_the_registry_agree_on_secrets(field: str) -> None:
    """What the bot keeps out of its own output never gets into a workflow either, and nothing else is held back."""
    known = Settings.model_fields[field]
    if known.validation_alias is not None:
        assert registry.is_secret(str(known.validation_alias)) == ("SecretStr" in str(known.annotation))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("METAFLOW_HITL_SMTP_PASSWORD", True),
        ("METAFLOW_HITL_SMTP_HOST", False),
        ("METAFLOW_HITL_PAGER_TOKEN", True),
        ("METAFLOW_HITL_PAGER_URL", False),
        ("SLACK_BOT_TOKEN", False),
    ],
)
def test_secrets_are_told_by_name(name: str, secret: bool) -> None:  # noqa: FBT001 - a fact's value
    """A setting of ours is what the registry says; another package's is a secret if its name ends with TOKEN."""
    assert registry.is_secret(name) is secret
