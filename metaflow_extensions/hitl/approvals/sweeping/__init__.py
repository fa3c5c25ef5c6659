"""The sweeper: what an open approval needs next, and when.

It finishes what others began and could not end: it posts what is not posted, expires what is due, carries out what is
decided, closes what nobody waits for, and takes what is settled off the list of open ones. Every act is idempotent, so
several sweepers, or one that was killed half-way, do no harm.
"""

from .sweeper import LOOK_BACK, READ_ALL_EVERY, Sweeper
from .worker import CARRY_OUT_AFTER, CLAIM_FOR, GATHER_FOR, POST_AFTER, Act, Observer, Plan, Reminders, Subscriber, plan

__all__ = [
    "CARRY_OUT_AFTER",
    "CLAIM_FOR",
    "GATHER_FOR",
    "LOOK_BACK",
    "POST_AFTER",
    "READ_ALL_EVERY",
    "Act",
    "Observer",
    "Plan",
    "Reminders",
    "Subscriber",
    "Sweeper",
    "plan",
]
