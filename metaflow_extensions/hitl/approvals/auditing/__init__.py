"""Checking records after the fact: who vouches for each version, and whether anything was changed or removed.

Nothing here writes. It works on a copy of the bucket, too.
"""

from metaflow_extensions.hitl.approvals.auditing.everything import audit_all
from metaflow_extensions.hitl.approvals.auditing.record import (
    Audited,
    CheckedVersion,
    Fault,
    Voucher,
    audit_alone,
    vouchers,
)

__all__ = ["Audited", "CheckedVersion", "Fault", "Voucher", "audit_all", "audit_alone", "vouchers"]
