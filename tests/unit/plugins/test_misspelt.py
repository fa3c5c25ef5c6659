"""A setting that nobody reads is named."""

from __future__ import annotations

import importlib
import warnings

import pytest

from hitl_bot.settings import Settings

KNOWN = {"METAFLOW_HITL_ROOT", "METAFLOW_HITL_SLACK_CHANNEL"}


@pytest.fixture(scope="module")
def module():
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("metaflow_extensions.hitl.plugins.settings")


def test_a_misspelt_name_is_named_with_what_was_meant(module):
    """One letter is missing: the sentence has both names."""
    [said] = module.misspelt(["METAFLOW_HITL_SLACK_CHANEL", "PATH", "METAFLOW_HITL_ROOT"], KNOWN, others=True)
    assert said == (
        "METAFLOW_HITL_SLACK_CHANEL is set, but there is no such setting. Did you mean METAFLOW_HITL_SLACK_CHANNEL?"
    )


def test_a_name_like_no_other_may_be_another_packages(module):
    """Where other packages' notifiers are installed it is left alone, and named everywhere else."""
    assert module.misspelt(["METAFLOW_HITL_PIGEON_LOFT"], KNOWN, others=True) == []
    assert "METAFLOW_HITL_PIGEON_LOFT" in module.misspelt(["METAFLOW_HITL_PIGEON_LOFT"], KNOWN, others=False)[0]


def test_every_setting_is_known(module):
    """All that the bot reads is known where flows run, so that no right name is called wrong."""
    assert Settings.names() - module.known_settings() == set()
    assert module.OF_THE_BOT - Settings.names() == set()
