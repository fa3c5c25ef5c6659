"""Whether records can be kept."""

from __future__ import annotations

from hitl_bot.doctor.finding import Finding, bad, good
from hitl_bot.settings import PREFIX, Settings, SettingsError, needed
from metaflow_extensions.hitl.approvals.errors import StoreError
from metaflow_extensions.hitl.stores import open_store


def check_store(settings: Settings) -> Finding:
    """Write a probe, and prove that the store refuses to overwrite it."""
    try:
        root = needed(settings, "root")
    except SettingsError as error:
        what, _, fix = str(error).partition(". ")
        return bad("store", what, fix)
    try:
        store = open_store(root)
        store.check()
    except StoreError as error:
        return bad("store", str(error), f"Fix it, or set {PREFIX}ROOT to another place, here and for the flows.")
    return good("store", f"{store.url} creates each key only once")
