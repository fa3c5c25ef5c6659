"""What a bot remembers of the requests that it took."""

from __future__ import annotations

from hypothesis import given, strategies as st

from hitl_bot.sandbox.delivery import signed_headers
from hitl_bot.web.request_url import WINDOW, Refusal, Signatures
from tests.fixtures.approvals import HandClock

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def headers(body: bytes, clock: HandClock) -> dict[str, str]:
    return {name.lower(): value for name, value in signed_headers(SECRET, clock().timestamp(), body.decode()).items()}


@given(timestamp=st.text(), signature=st.text(), body=st.binary())
def test_nothing_that_is_forged_raises(timestamp: str, signature: str, body: bytes) -> None:
    """Whatever stands in the headers and the body, the answer is a refusal."""
    forged = {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature}
    assert isinstance(Signatures(SECRET, HandClock()).take(forged, body), Refusal)


def test_over_its_room_nothing_is_taken() -> None:
    """What can't be remembered is refused, or it could be replayed; after two windows there is room again."""
    clock = HandClock()
    signatures = Signatures(SECRET, clock, room=2)
    for body in (b"1", b"2"):
        assert signatures.take(headers(body, clock), body) is None
    assert signatures.take(headers(b"3", clock), b"3") is Refusal.TOO_MANY
    clock.forward(2 * WINDOW + 1)
    assert signatures.take(headers(b"3", clock), b"3") is None


def test_what_was_not_served_is_forgotten() -> None:
    """A request that is forgotten is taken again, once."""
    clock = HandClock()
    signatures = Signatures(SECRET, clock)
    sent = headers(b"1", clock)
    assert signatures.take(sent, b"1") is None
    signatures.forget(sent)
    assert signatures.take(sent, b"1") is None
    assert signatures.take(sent, b"1") is Refusal.REPLAYED
