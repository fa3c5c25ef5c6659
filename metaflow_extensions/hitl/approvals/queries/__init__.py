"""The read side: what waits, what was decided, and how it went, for lists, Home, pages and the command line."""

from metaflow_extensions.hitl.approvals.queries.history import Decided, History, brief
from metaflow_extensions.hitl.approvals.queries.projection import Projection
from metaflow_extensions.hitl.approvals.queries.queries import Found, Queries, urgency

__all__ = ["Decided", "Found", "History", "Projection", "Queries", "brief", "urgency"]
