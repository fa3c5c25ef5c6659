"""The rights that docs/bucket.md gives to bot, runs and people, held by accounts of their own on a real S3 server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from docs import bucket_page
from hitl_bot.keys import PrivateKey, SigningKeys
from hitl_bot.web import readiness
from hitl_bot.web.readiness import Readiness
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.bucket_map import PREFIXES, Prefix, Role
from metaflow_extensions.hitl.approvals.errors import HitlError, StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import EngineKind
from metaflow_extensions.hitl.approvals.refusals import StillPending
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.commands import standalone
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.stores.s3 import S3Store
from tests.fixtures.approvals import (
    BOB,
    REQUESTER,
    Directory,
    HandClock,
    any_input,
    approving,
    gate,
    pathspec,
    question,
)
from tests.fixtures.s3 import S3, add_account, counted_requests

KEY = PrivateKey(bytes(32))
MODES = ("open", "sealed")


@pytest.fixture(scope="module")
def accounts(versitygw_server: tuple[str, Any]) -> dict[Role, tuple[str, Any]]:
    """The name and the client of each kind of user, and nobody has a right yet."""
    endpoint, _ = versitygw_server
    names = {role: f"{role.name.lower()}-{uuid4().hex[:8]}" for role in Role}
    return {role: (name, add_account(endpoint, name)) for role, name in names.items()}


@pytest.fixture(params=MODES)
def rights(request: pytest.FixtureRequest, s3_versitygw: S3, accounts: dict[Role, tuple[str, Any]]) -> Iterator[str]:
    give(request.param, s3_versitygw, accounts)
    return request.param


def give(mode: str, place: S3, accounts: dict[Role, tuple[str, Any]]) -> None:
    """Put the policy of the page on the bucket."""
    names = {role: name for role, (name, _) in accounts.items()}
    policy = bucket_page.bucket_policy(mode, names, bucket=place.bucket, prefix="hitl")
    place.client().put_bucket_policy(Bucket=place.bucket, Policy=json.dumps(policy))


def may(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_each_role_may_do_what_the_map_says(rights: str, s3_versitygw: S3, accounts: dict[Role, tuple[str, Any]]):
    """Reading, writing and removing below every prefix, for bot, runs and people: allowed where the map says, alone."""
    owner = s3_versitygw.client()
    for role, (_, client) in accounts.items():
        for prefix in PREFIXES:
            place = {"Bucket": s3_versitygw.bucket, "Key": f"hitl/{prefix.root}one"}
            owner.put_object(**place, Body=b"{}")
            found = (
                may(client.get_object, **place),
                may(client.put_object, **place, Body=b"{}"),
                may(client.delete_object, **place),
            )
            assert found == expected(prefix, role, rights), (role, prefix.root)
        assert not may(client.get_object, Bucket=s3_versitygw.bucket, Key="metaflow/secret")


def test_each_role_lists_what_it_may_read(rights: str, s3_versitygw: S3, accounts: dict[Role, tuple[str, Any]]):
    """The condition on s3:prefix keeps everybody from listing what they may not read, the whole bucket among it."""
    for role, (_, client) in accounts.items():
        for prefix in PREFIXES:
            found = may(client.list_objects_v2, Bucket=s3_versitygw.bucket, Prefix=f"hitl/{prefix.root}")
            assert found is (role in prefix.read_by), (role, prefix.root, rights)
        for beyond in ("", "hitl/", "metaflow/"):
            assert not may(client.list_objects_v2, Bucket=s3_versitygw.bucket, Prefix=beyond)


def expected(prefix: Prefix, role: Role, mode: str) -> tuple[bool, bool, bool]:
    return (
        role in prefix.read_by,
        bucket_page.written(prefix, role, mode),
        bucket_page.removed(prefix, role, mode),
    )


def test_a_sealed_gate_opens_with_these_rights(s3_versitygw: S3, accounts: dict[Role, tuple[str, Any]]):
    """A run proposes, the bot signs, the gate reads: with the page's rights, and at most four requests at the gate."""
    give("sealed", s3_versitygw, accounts)
    client = accounts[Role.RUN][1]
    run = cases(client, s3_versitygw, Trust.of([KEY.public_key]))
    bot = cases(accounts[Role.BOT][1], s3_versitygw, Trust.of((), SigningKeys([KEY])))
    asked = run.ask(pathspec(), question(), gate(), REQUESTER).approval
    with pytest.raises(HitlError):
        run.open_gate(pathspec())
    bot.take_over(asked, key=KEY.public_key.id)
    bot.carry_out(
        bot.ledger.update(asked.id, "decided", bot.clock(), lambda one: transitions.decide(one, approving(BOB)))
    )
    with counted_requests(client) as sent:
        assert run.open_gate(pathspec()).lets_run
    assert len(sent) <= 4, sent


def cases(client: Any, place: S3, trust: Trust) -> UseCases:
    return UseCases(
        Ledger(S3Store(client, place.bucket, "hitl"), trust),
        engines={EngineKind.LOCAL: LocalEngine()},
        notifiers={},
        people=Directory(),
        check_input=any_input,
        clock=HandClock(),
    )


def test_who_may_only_read_is_told_so(
    s3_versitygw: S3, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """With credentials that may only read, a gate, `hitl approve`, the bot's start and /readyz name what is refused."""
    place, reader = s3_versitygw, f"reader-{uuid4().hex[:8]}"
    client = add_account(place.endpoint, reader)
    places = [f"arn:aws:s3:::{place.bucket}", f"arn:aws:s3:::{place.bucket}/*"]
    may_read = {"Effect": "Allow", "Principal": {"AWS": [reader]}, "Action": ["s3:GetObject", "s3:ListBucket"]}
    policy = {"Version": "2012-10-17", "Statement": [may_read | {"Resource": places}]}
    place.client().put_bucket_policy(Bucket=place.bucket, Policy=json.dumps(policy))
    written = cases(place.client(), place, Trust.of([]))
    asked = written.ask(pathspec(), question(), gate(), REQUESTER).approval
    store = S3Store(client, place.bucket, "hitl")
    refused = r"refused PutObject \(AccessDenied: .*Allow s3:GetObject, s3:PutObject and s3:DeleteObject"
    read_only = cases(client, place, Trust.of([]))
    with pytest.raises(StoreUnavailable, match=refused):
        read_only.ask(pathspec(task="2"), question(), gate(), REQUESTER)
    with pytest.raises(StillPending):
        read_only.open_gate(pathspec())
    with pytest.raises(StoreUnavailable, match=refused):
        store.check()  # how a bot starts
    found = Readiness({"store": readiness.store(store)}, within=30).problems()
    assert re.search(refused, found["store"])
    for name, value in (place.environment() | {"AWS_ACCESS_KEY_ID": reader, "AWS_SECRET_ACCESS_KEY": reader}).items():
        monkeypatch.setenv(name, value)
    assert standalone.main(["approve", asked.id]) == 1
    assert re.search(refused, capsys.readouterr().err)
    assert written.ledger.read(asked.id).approval.decision is None
