"""What other packages implement, with all that the signatures need. docs/api.md has an example.

A notifier is found by its entry point in the group ``metaflow_hitl.notifiers``. Stores and engines are handed to the
code that uses them.
"""

from metaflow_extensions.hitl.approvals.errors import (
    BadKey,
    EngineUnavailable,
    KeyMissing,
    KeyTaken,
    MessageUnreachable,
    NotifierBusy,
    NotifierError,
    NotifierRefused,
    NotifierUnavailable,
    StoreError,
    StoreUnavailable,
    StoreUnfit,
)
from metaflow_extensions.hitl.approvals.ports import Clock, Engine, Notifier, Store
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate, Post

__all__ = [
    "Approval",
    "BadKey",
    "Clock",
    "Engine",
    "EngineKind",
    "EngineUnavailable",
    "Gate",
    "KeyMissing",
    "KeyTaken",
    "MessageUnreachable",
    "Notifier",
    "NotifierBusy",
    "NotifierError",
    "NotifierRefused",
    "NotifierUnavailable",
    "Post",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoreUnfit",
]
