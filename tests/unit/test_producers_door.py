"""The door: one request in, one receipt out, and bells that may fail without anybody noticing."""

from __future__ import annotations

import pytest

from producers.enqueue import CHUNK_ROWS, Door, Origin, row_text
from tests.factories import a_request
from worker.domain.job import Receipt, Verdict
from worker.domain.parse import ParsedRequest
from worker.domain.request import Contact, Product
from worker.domain.states import Channel, ChannelPolicy, Lane
from worker.ledger import Ledger, LedgerUnavailable

LIVE = Origin(source="api", lane=Lane.LIVE)


class RecordingLedger:
    """Accepts everything, and keeps what it was given."""

    def __init__(self, *, fails_at: int | None = None):
        self.chunks = []
        self._fails_at = fails_at

    async def accept(self, invitations, *, max_waiting, durable=True):
        self.chunks.append(list(invitations))
        if len(self.chunks) == self._fails_at:
            raise LedgerUnavailable
        return [
            Receipt(verdict=Verdict.ACCEPTED, invitation_id=each.id, ring=(each.id + "w",))
            for each in invitations
        ]


class RecordingBell:
    """Keeps what it was asked to ring."""

    def __init__(self):
        self.rung = []

    def ring(self, job_ids, lane):
        self.rung.append((tuple(job_ids), lane))


def parsed(**changes) -> ParsedRequest:
    return ParsedRequest(a_request(**changes))


async def invitation_of(request: ParsedRequest, origin=LIVE, **settings):
    ledger = RecordingLedger()
    door = Door(ledger, RecordingBell(), **settings)
    await door.enqueue(request, origin)
    return ledger.chunks[0][0]


async def test_a_channel_without_a_contact_is_skipped_with_its_reason():
    """So that an operator sees why nobody was told."""
    invitation = await invitation_of(parsed(contact=Contact(email="d@example.com")))

    assert invitation.channels == (Channel.EMAIL,)
    assert invitation.skips == ((Channel.SMS, "no_contact"),)


async def test_a_requests_own_channels_win_over_the_installations():
    """In their own order; no channels at all are an answer too."""
    wanted = await invitation_of(parsed(channels=(Channel.SMS, Channel.EMAIL)), channels=(Channel.EMAIL,))
    none = await invitation_of(parsed(channels=()))

    assert wanted.channels == (Channel.SMS, Channel.EMAIL)
    assert (none.channels, none.skips) == ((), ())


async def test_the_installations_policy_holds_where_the_request_has_none():
    """And only there."""
    default = await invitation_of(parsed(), channel_policy=ChannelPolicy.FIRST)
    own = await invitation_of(parsed(channel_policy=ChannelPolicy.ALL), channel_policy=ChannelPolicy.FIRST)

    assert (default.channel_policy, own.channel_policy) == (ChannelPolicy.FIRST, ChannelPolicy.ALL)


async def test_the_same_event_has_the_same_key_and_another_source_another():
    """Two CRMs may number their events alike."""
    keys = [
        (await invitation_of(parsed(), Origin(source=source, lane=Lane.LIVE, idempotency_key=key))).event_key
        for source, key in [("api", "1"), ("api", "1"), ("crm:hubspot", "1"), ("api", "2"), ("api", None)]
    ]

    assert keys[0] == keys[1] is not None
    assert len({*keys[1:4]}) == 3
    assert keys[4] is None


async def test_requests_without_a_number_are_told_apart_by_their_rows():
    """Two Facebook rows that differ are two customers."""
    first, second, again = [
        (
            await invitation_of(
                parsed(products=(Product.FACEBOOK_PAGE,), whatsapp=None),
                Origin(source="csv", lane=Lane.BULK, row_text=text),
            )
        ).claim_key
        for text in ("a", "b", "a")
    ]

    assert first == again != second


def test_a_rows_text_does_not_depend_on_order_or_empty_cells():
    """The same customer in another file's layout is the same customer."""
    assert row_text({"email": "a ", "product": "x", "name": " "}) == row_text({"product": "x", "email": "a"})
    assert row_text({"email": "a"}) != row_text({"name": "a"})


async def test_many_are_sent_in_chunks_and_answered_in_order():
    """A script of a hundred rows stays short enough for everybody else."""
    ledger = RecordingLedger()
    door = Door(ledger, RecordingBell())

    receipts = await door.enqueue_many([(parsed(), LIVE)] * 350)

    assert [len(chunk) for chunk in ledger.chunks] == [CHUNK_ROWS] * 3 + [50]
    sent = {each.id for chunk in ledger.chunks for each in chunk}
    assert {receipt.invitation_id for receipt in receipts} == sent
    assert len(sent) == 350


async def test_a_chunk_that_fails_is_told_after_all_have_ended():
    """Nothing is left running behind the caller's back."""
    ledger = RecordingLedger(fails_at=1)
    door = Door(ledger, RecordingBell())

    with pytest.raises(LedgerUnavailable):
        await door.enqueue_many([(parsed(), LIVE)] * 250)

    assert len(ledger.chunks) == 3


async def test_no_requests_are_no_call():
    """An empty chunk costs nothing."""
    assert await Door(RecordingLedger(), RecordingBell()).enqueue_many([]) == []


async def test_a_live_request_is_rung_for_at_once():
    """The receipt names the bells; a duplicate rings none."""
    bell = RecordingBell()
    receipt = await Door(RecordingLedger(), bell).enqueue(parsed(), LIVE)

    assert bell.rung == [((receipt.invitation_id + "w",), Lane.LIVE)]


async def test_a_real_ledger_tells_duplicates_conflicts_and_fullness(store):
    """The verdicts reach the caller as the ledger gave them."""
    ledger = Ledger(store, namespace="t")
    await ledger.open()
    door = Door(ledger, RecordingBell(), max_waiting=2)
    request, other = parsed(), parsed()

    first = await door.enqueue(request, LIVE)
    verdicts = [
        (await door.enqueue(each, LIVE)).verdict
        for each in (
            request,
            parsed(whatsapp=request.request.whatsapp, display_name="Other"),
            other,
            parsed(),
        )
    ]

    assert first.verdict is Verdict.ACCEPTED
    assert verdicts == [Verdict.DUPLICATE, Verdict.CONFLICT, Verdict.ACCEPTED, Verdict.FULL]


async def test_a_channel_that_is_switched_off_is_skipped_with_its_reason():
    """Without an SMS provider no text waits for one for ever."""
    invitation = await invitation_of(parsed(), switched_off=[Channel.SMS])

    assert invitation.channels == (Channel.EMAIL,)
    assert invitation.skips == ((Channel.SMS, "channel_not_configured"),)
