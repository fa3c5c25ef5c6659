"""``hitl-bot doctor --attack``: what somebody who is where this runs could do to bucket, policy and cluster.

Meant for where flows run and where people type commands: in a pod, or on a laptop, with the rights that those have.
Nothing is left behind: a key is tried by writing once more what is there, which the store refuses, and Kubernetes is
asked what would be allowed.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice

from hitl_bot.cluster import argo_engine
from hitl_bot.doctor.checks import Finding, bad, good, unknown
from hitl_bot.settings import PREFIX, Settings, SettingsError, needed
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.bucket import PREFIXES, Prefix, Role, version_key
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, HitlError, KeyTaken, StoreError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import (
    Decision,
    EngineKind,
    Gate,
    Origin,
    Pathspec,
    Person,
    TrailEvent,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.approvals.sealed import InvalidKey, Trust, parse_keys
from metaflow_extensions.hitl.approvals.use_cases import passed
from metaflow_extensions.hitl.engines.kubernetes import NoCluster
from metaflow_extensions.hitl.stores import MemoryStore, open_store

_LOOKED_AT = 20  # keys below a prefix, until one is found that can be read


def attack(settings: Settings) -> Iterator[Finding]:
    """Try everything, one after the other."""
    yield _forged_record(settings)
    yield _signing_key(settings)
    yield from _bucket(settings)
    yield _policy(settings)
    yield _cluster(settings)


def _forged_record(settings: Settings) -> Finding:
    """Hand a decided record that nobody signed to a gate with the keys that are configured here, in memory alone."""
    try:
        trust = Trust.of(parse_keys(settings.public_keys or ""))
    except InvalidKey as error:
        return bad("forgery", f"{PREFIX}PUBLIC_KEYS: {error}", "Copy the line that `hitl-bot key list FILE` prints.")
    store, now = MemoryStore(), datetime.now(timezone.utc)
    somebody = Person(origin=Origin.CLAIM, id="attack", name="attack")
    gate, where = Gate(engine=EngineKind.LOCAL), Pathspec(flow="Attack", run="1", step="gate", task="1")
    asked = transitions.request(where, Question(message="?"), gate, somebody, now)
    said = Decision(verdict=Verdict.APPROVE, by=somebody, at=now, where=Where.BUTTON)
    forged = transitions.decide(asked, said)
    version = Version(number=1, previous=None, event=TrailEvent.DECIDED, at=now, approval=forged)
    store.create(version_key(forged.id, 1), encode(version))
    try:
        passed(Ledger(store, trust).read_to_act(forged.id).approval)
    except HitlError:
        return good("forgery", "a decided record that no bot signed is refused here")
    fix = f"Turn the sealed mode on: `hitl-bot key new FILE`, and {PREFIX}PUBLIC_KEYS where flows run."
    return bad("forgery", "a decided record that no bot signed opens a gate that runs here", fix)


def _signing_key(settings: Settings) -> Finding:
    if settings.signing_key is None:
        return good("signing key", "it is not configured here")
    fix = f"Take {PREFIX}SIGNING_KEY away from here, unless this is the bot itself."
    return bad("signing key", "whoever is here can sign any answer", fix)


def _bucket(settings: Settings) -> Iterator[Finding]:
    """Look for parts of the bucket that only the bot writes in the sealed mode, and that can be written from here."""
    try:
        store = open_store(needed(settings, "root"))
        outcomes = {prefix.root: _can_be_written(store, prefix) for prefix in PREFIXES if _is_the_bots(prefix)}
    except (SettingsError, StoreError) as error:
        yield unknown("bucket", f"nothing could be tried: {error}")
        return
    written = [root for root, outcome in outcomes.items() if outcome is True]
    refused = [root for root, outcome in outcomes.items() if outcome is False]
    untried = [root for root, outcome in outcomes.items() if outcome is None]
    if written:
        fix = "Give runs and people the rights of docs/bucket.md, and the bot alone the right to write these."
        yield bad("bucket", f"can be written from here: {', '.join(written)}", fix)
    if refused:
        yield good("bucket", f"can't be written from here: {', '.join(refused)}")
    if untried:
        yield unknown("bucket", f"empty or unreadable from here, so not tried: {', '.join(untried)}")


def _is_the_bots(prefix: Prefix) -> bool:
    return prefix.written_by_if_sealed == (Role.BOT,)


def _can_be_written(store: Store, prefix: Prefix) -> bool | None:
    """Whether an object that is there can be written once more, with its own bytes; None if there is none to read."""
    try:
        keys = list(islice(store.list(prefix.root), _LOOKED_AT))
    except StoreError:
        return None
    for key in keys:
        try:
            body = store.read(key)
        except StoreError:
            continue
        try:
            store.create(key, body)
        except KeyTaken:
            return True  # the store would have taken it, had nobody been first
        except StoreError:
            return False
        return True
    return None


def _policy(settings: Settings) -> Finding:
    if settings.policy is None:
        return good("policy", "no policy file is configured here")
    folder = settings.policy.parent
    if os.access(settings.policy, os.W_OK) or os.access(folder, os.W_OK):
        return bad("policy", f"{settings.policy} can be changed from here", "Mount it read-only, owned by an operator.")
    return good("policy", f"{settings.policy} can't be changed from here")


def _cluster(settings: Settings) -> Finding:
    """Ask Kubernetes whether workflows can be patched from here. Nothing is patched."""
    try:
        allowed = argo_engine(settings, lambda: datetime.now(timezone.utc), connections=1).check_access()
    except NoCluster as error:
        return unknown("workflows", f"no cluster can be reached from here: {error}")
    except EngineUnavailable as error:
        if "may not" in str(error):
            return good("workflows", f"they can't be patched from here in namespace {settings.argo_namespace}")
        return unknown("workflows", str(error))
    fix = "Only the bot needs `patch` on workflows: take it from the service account or person that this runs as."
    return bad("workflows", f"from here {allowed}: waiting steps can be ended, and other code put into them", fix)
