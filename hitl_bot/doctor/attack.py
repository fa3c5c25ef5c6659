"""``hitl-bot doctor --attack``: what somebody who is where this runs could do to bucket, policy and cluster.

Meant for where flows run and where people type commands: in a pod, or on a laptop, with the rights that those have.
Nothing is left behind: a key is tried by writing once more what is there, which the store refuses, a removal by
removing what is not there, and the cluster by requests about objects that there are not.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from typing import NamedTuple

from hitl_bot.keys import PrivateKey, SigningKeys
from hitl_bot.settings import PREFIX, Settings, SettingsError, needed
from hitl_bot.slack.client import SLACK_FAILED, slack_client
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.bucket import version_key
from metaflow_extensions.hitl.approvals.bucket_map import PREFIXES, Prefix, Role, nobody_s_key
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, HitlError, KeyTaken, StoreError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import (
    Answer,
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
from metaflow_extensions.hitl.approvals.sealed import OPEN, InvalidKey, Trust, parse_keys
from metaflow_extensions.hitl.approvals.use_cases import UseCases, passed
from metaflow_extensions.hitl.engines.kubernetes import KubernetesEngine, NoCluster, load_api_client
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.slack import ClaimedPeople
from metaflow_extensions.hitl.stores import DirectoryStore, MemoryStore, open_store
from metaflow_extensions.hitl.stores.s3 import S3Store

from .checks import Finding, bad, good, unknown

_LOOKED_AT = 20  # keys below a prefix, until one is found that can be read


def attack(settings: Settings) -> Iterator[Finding]:
    """Try everything, one after the other."""
    yield _forged_record(settings)
    yield _typed_name(settings)
    yield _signing_key(settings)
    yield from _bucket(settings)
    yield _policy(settings)
    yield from _slack(settings)
    yield from _cluster(settings)


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


def _typed_name(settings: Settings) -> Finding:
    """Type an answer under a name that nobody here has, to a question without approvers, in memory alone."""
    try:
        is_sealed = bool(parse_keys(settings.public_keys or ""))
    except InvalidKey:
        return unknown("typed name", "the public keys that are configured here can't be read")
    store, now = MemoryStore(), datetime.now(timezone.utc)
    key = PrivateKey.new()
    bot = Trust.of((), SigningKeys([key])) if is_sealed else OPEN
    somebody = Person(origin=Origin.CLAIM, id="attack", name="attack")
    gate, where = Gate(engine=EngineKind.LOCAL), Pathspec(flow="Attack", run="1", step="gate", task="1")
    asked = transitions.request(where, Question(message="?"), gate, somebody, now)
    Ledger(store, bot).begin(asked, key=key.public_key.id if is_sealed else None)
    here = Ledger(store, Trust.of([key.public_key]) if is_sealed else OPEN)
    cases = UseCases(
        here,
        engines={EngineKind.LOCAL: LocalEngine()},
        notifiers={},
        people=ClaimedPeople(),
        check_input=lambda _, values: values,
        clock=lambda: now,
    )
    try:
        cases.answer_from_command_line(asked.id, Answer(verdict=Verdict.APPROVE), who=somebody, nonce="0" * 32)
        passed(here.read_to_act(asked.id).approval)
    except HitlError:
        return good("typed name", "an answer that is typed here counts only once that person has confirmed it in Slack")
    fix = "Turn the sealed mode on, or refuse command lines by the operator's policy (command_line: refused)."
    return bad("typed name", "an answer that is typed here counts under any name, where a question names nobody", fix)


def _bucket(settings: Settings) -> Iterator[Finding]:
    """Look for parts of the bucket that only the bot writes in the sealed mode, and that can be changed from here."""
    ours = [prefix for prefix in PREFIXES if _is_the_bots(prefix)]
    try:
        store = open_store(needed(settings, "root"), s3_endpoint_url=settings.s3_endpoint)
        yield from _found("written", ours, partial(_can_be_written, store))
        yield from _found("removed", ours, partial(_can_be_removed, store))
    except (SettingsError, StoreError) as error:
        yield unknown("bucket", f"nothing could be tried: {error}")


def _found(done: str, prefixes: Iterable[Prefix], tried: Callable[[Prefix], bool | None]) -> Iterator[Finding]:
    outcomes = {prefix.root: tried(prefix) for prefix in prefixes}
    roots = {outcome: [root for root, one in outcomes.items() if one is outcome] for outcome in (True, False, None)}
    if roots[True]:
        fix = "Give runs and people the rights of docs/bucket.md, and the bot alone the right to change these."
        yield bad("bucket", f"can be {done} from here: {', '.join(roots[True])}", fix)
    if roots[False]:
        yield good("bucket", f"can't be {done} from here: {', '.join(roots[False])}")
    if roots[None]:
        yield unknown("bucket", f"whether it can be {done} from here could not be tried: {', '.join(roots[None])}")


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


def _can_be_removed(store: Store, prefix: Prefix) -> bool | None:
    """Whether a key that no object has could be removed; None if that can't be tried here."""
    try:
        return store.may_unmark(nobody_s_key(prefix)) if isinstance(store, (S3Store, DirectoryStore)) else None
    except StoreError:
        return None


def _policy(settings: Settings) -> Finding:
    if settings.policy is None:
        return good("policy", "no policy file is configured here")
    folder = settings.policy.parent
    if os.access(settings.policy, os.W_OK) or os.access(folder, os.W_OK):
        return bad("policy", f"{settings.policy} can be changed from here", "Mount it read-only, owned by an operator.")
    return good("policy", f"{settings.policy} can't be changed from here")


def _slack(settings: Settings) -> Iterator[Finding]:
    """Try the tokens that are configured here. Nothing is posted, and no connection is opened."""
    if settings.slack_bot_token is None and settings.slack_app_token is None and settings.slack_signing_secret is None:
        yield good("slack", "no token or secret of the bot's is configured here")
        return
    away = "Take {} away from here, unless this is the bot itself: only the bot needs it in the sealed mode."
    if settings.slack_bot_token is not None:
        fix = away.format(f"{PREFIX}SLACK_BOT_TOKEN")
        try:
            answer = slack_client(needed(settings, "slack_bot_token"), settings.slack_api_url).auth_test()
        except SLACK_FAILED as error:
            yield unknown("slack", f"a bot token is configured here, and Slack rejects it: {error}")
        else:
            yield bad("slack", f"whoever is here can write as {answer['user']}, and change what was asked", fix)
    if settings.slack_app_token is not None:
        yield bad(
            "slack",
            "whoever is here can receive clicks that are meant for the bot",
            away.format(f"{PREFIX}SLACK_APP_TOKEN"),
        )
    if settings.slack_signing_secret is not None:
        fix = away.format(f"{PREFIX}SLACK_SIGNING_SECRET")
        yield bad("slack", "whoever is here can send the bot a click in anybody's name", fix)


class _Try(NamedTuple):
    """A request about an object that there is not: Kubernetes looks at rights before it looks for the object."""

    method: str
    group: str
    kind: str
    worth: str  # what somebody has who may do this

    def __str__(self) -> str:
        return f"{self.method.lower()} {self.kind}"


_ARGO = "apis/argoproj.io/v1alpha1"
_TRIES = (
    _Try("PATCH", _ARGO, "workflows", "waiting steps can be ended, and other code put into them"),
    _Try("DELETE", _ARGO, "workflows", "runs that wait can be removed"),
    _Try("PATCH", _ARGO, "workflowtemplates", "gates can be taken out of deployed flows"),
    _Try("PATCH", _ARGO, "cronworkflows", "other code can be put into scheduled flows"),
    _Try("GET", "api/v1", "secrets", "the secret with the signing key can be read, if it is in this namespace"),
    _Try("PATCH", "apis/apps/v1", "deployments", "the bot can be replaced, if it runs in this namespace"),
)


def _cluster(settings: Settings) -> Iterator[Finding]:
    """Send Kubernetes what an attacker would, about objects that there are not and as a dry run."""
    namespace = settings.argo_namespace
    try:
        api = load_api_client(connections=1)
        engine = KubernetesEngine(api, namespace=namespace, clock=lambda: datetime.now(timezone.utc), sleep=time.sleep)
        allowed = {what: engine.may(what.method, what.group, what.kind) for what in _TRIES}
    except NoCluster as error:
        yield unknown("cluster", f"no cluster can be reached from here: {error}")
        return
    except EngineUnavailable as error:
        yield unknown("cluster", str(error))
        return
    for what in (one for one in _TRIES if allowed[one]):
        fix = f"In namespace {namespace}, take this right from the service account or person that this runs as."
        yield bad("cluster", f"may {what} from here: {what.worth}", fix)
    if refused := [str(one) for one in _TRIES if not allowed[one]]:
        yield good("cluster", f"may not from here, in namespace {namespace}: {', '.join(refused)}")
