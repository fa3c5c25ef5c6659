"""The sealed mode: a bot's key vouches for what counts, and everything else is only proposed."""

from metaflow_extensions.hitl.approvals.sealed.keys import InvalidKey, PublicKey, parse_keys
from metaflow_extensions.hitl.approvals.sealed.trust import OPEN, Signer, Trust

__all__ = ["OPEN", "InvalidKey", "PublicKey", "Signer", "Trust", "parse_keys"]
