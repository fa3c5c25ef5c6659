"""The public API of metaflow-hitl. docs/api.md says what is promised.

What is listed in ``__all__`` here, in ``metaflow_hitl.ports`` and in ``metaflow_hitl.testing`` stays as it is. Anything
else, such as ``metaflow_extensions.hitl``, may change with any release. This imports neither Metaflow nor boto3.
"""

from metaflow_extensions.hitl import __version__
from metaflow_extensions.hitl.api import Answered, Approvals, StillWaiting, parse_input
from metaflow_extensions.hitl.approvals.auditing import Audited, CheckedVersion, Defect, Voucher
from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.errors import (
    AmbiguousId,
    CorruptRecord,
    HitlError,
    NoSuchApproval,
    RecordError,
    StoreError,
    StoreUnavailable,
)
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import (
    Approval,
    BadId,
    Closing,
    Decision,
    DuePassed,
    FollowUp,
    Obligation,
    Origin,
    Pathspec,
    Person,
    Post,
    State,
    Verdict,
    Vote,
    Where,
)
from metaflow_extensions.hitl.approvals.refusals import (
    AlreadyDecided,
    ApprovalError,
    ChangesNotOffered,
    Closed,
    NoSuchObligation,
    NotAllowed,
    NotYourObligation,
    ObligationMissing,
    ReasonMissing,
    TooLate,
)
from metaflow_extensions.hitl.approvals.schema import Field, InvalidInput, Problem, fields

__all__ = [
    "AlreadyDecided",
    "AmbiguousId",
    "Answered",
    "Approval",
    "ApprovalError",
    "Approvals",
    "Audited",
    "BadId",
    "ChangesNotOffered",
    "CheckedVersion",
    "Closed",
    "Closing",
    "CorruptRecord",
    "Decision",
    "Defect",
    "DuePassed",
    "Entry",
    "Field",
    "FollowUp",
    "HitlError",
    "InvalidInput",
    "NoSuchApproval",
    "NoSuchObligation",
    "NotAllowed",
    "NotYourObligation",
    "Obligation",
    "ObligationMissing",
    "Origin",
    "Pathspec",
    "Person",
    "Post",
    "Problem",
    "Question",
    "ReasonMissing",
    "RecordError",
    "State",
    "StillWaiting",
    "StoreError",
    "StoreUnavailable",
    "TooLate",
    "Verdict",
    "Version",
    "Vote",
    "Voucher",
    "Where",
    "__version__",
    "fields",
    "parse_input",
]
