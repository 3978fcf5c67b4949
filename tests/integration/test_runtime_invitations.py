"""When an invitation goes out, with which links and by which channel: real mails and texts into the sandbox's outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from tests.factories import a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.dispatch import BadTemplateError
from worker.domain.job import Receipt
from worker.domain.outcome import ChannelDown
from worker.domain.request import Contact, Product
from worker.domain.states import Channel, ChannelPolicy, DeliveryState, JobState, Lane
from worker.execution import handlers
from worker.execution.attempt import attempt, follow_up
from worker.ledger import LedgerUnavailable
from worker.partner.sandbox.outbox import Captured

BOTH = (Channel.EMAIL, Channel.SMS)
TWO_PRODUCTS = (Product.WHATSAPP, Product.FACEBOOK_PAGE)


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        yield opened


async def work(bench: Bench, job_id: str) -> None:
    """Attempt a job and do what its bells ask for."""
    follow_up(job_id, await attempt(job_id, Lane.LIVE, bench.shop), bench.shop)
    await deliver_rung(bench)


async def deliver_rung(bench: Bench) -> None:
    while bench.bell.fan_outs:
        await handlers.fan_out(bench.bell.fan_outs.pop(), bench.shop)
    while bench.bell.deliveries:
        delivery_id = bench.bell.deliveries.pop()
        await handlers.deliver(delivery_id, Channel(delivery_id.split(".")[1]), bench.shop)


async def states(bench: Bench, receipt: Receipt) -> dict[tuple[str, int], DeliveryState]:
    found = await bench.shop.ledger.deliveries.of_invitation(receipt.invitation_id)
    return {(each.channel.value, each.generation): each.state for each in found}


async def link_of(bench: Bench, job_id: str) -> str:
    job = await bench.shop.ledger.queries.job(job_id)
    assert job is not None
    assert job.link is not None
    return job.link


async def test_one_link_failed_for_good_and_the_other_goes_out_when_the_last_has_ended(bench: Bench) -> None:
    """No message before the last job ended; then one, with the link that there is."""
    receipt = await bench.accept(request=a_request(products=TWO_PRODUCTS))
    whatsapp, facebook = receipt.job_ids
    await work(bench, facebook)
    assert messages(bench) == []

    bench.sandbox.faults.update({"fail_code": 19})
    await work(bench, whatsapp)
    await handlers.fan_out(whatsapp, bench.shop)
    await deliver_rung(bench)

    (mail,) = messages(bench)
    assert await link_of(bench, facebook) in mail.text
    assert await states(bench, receipt) == {("email", 1): DeliveryState.SENT}
    assert bench.bell.failures == [whatsapp]


async def test_an_invitation_that_waited_long_enough_goes_out_in_two_messages(bench: Bench) -> None:
    """The first has the link there is, the second the rest, in other words; nobody gets a link twice."""
    receipt = await bench.accept(request=a_request(products=TWO_PRODUCTS))
    whatsapp, facebook = receipt.job_ids
    await work(bench, whatsapp)
    assert await bench.rescuer(invitation_wait_s=3600.0).send_late_invitations() == 0

    assert await bench.rescuer().send_late_invitations() == 1
    await handlers.fan_out(whatsapp, bench.shop)
    await deliver_rung(bench)
    assert await bench.rescuer().send_late_invitations() == 0
    await work(bench, facebook)

    first, second = messages(bench)
    first_link, second_link = await link_of(bench, whatsapp), await link_of(bench, facebook)
    assert first_link in first.text
    assert second_link not in first.text
    assert second_link in second.text
    assert first_link not in second.text + second.html
    assert first.subject != second.subject
    assert await states(bench, receipt) == {
        ("email", 1): DeliveryState.SENT,
        ("email", 2): DeliveryState.SENT,
    }


async def test_the_first_channel_that_works_is_the_text_where_the_mail_bounces(bench: Bench) -> None:
    """Policy `first`: no text while the mail may arrive; the server refuses the address for good, so the text goes."""
    bench.sandbox.faults.update({"mail_refuse": 550})
    receipt = await bench.accept(channels=BOTH, channel_policy=ChannelPolicy.FIRST)
    await work(bench, receipt.job_ids[0])
    assert await states(bench, receipt) == {
        ("email", 1): DeliveryState.FAILED,
        ("sms", 1): DeliveryState.PENDING,
    }

    await handlers.fan_out(receipt.job_ids[0], bench.shop)
    await deliver_rung(bench)

    (text,) = messages(bench)
    assert text.kind == "sms"
    assert await link_of(bench, receipt.job_ids[0]) in text.text
    assert (await states(bench, receipt))["sms", 1] is DeliveryState.SENT


async def test_who_is_not_on_the_allowlist_gets_nothing(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """The outsider's mail and text are skipped with the reason; the insider's mail goes out. No link is lost by it."""
    async with a_bench(
        valkey_url, tmp_path, real_channels=True, recipient_allowlist=["@acme.example"]
    ) as bench:
        outsider = await bench.accept(channels=BOTH)
        contact = Contact(name="Noa", email="noa@acme.example")
        insider = await bench.accept(request=a_request(contact=contact))
        for receipt in (outsider, insider):
            await work(bench, receipt.job_ids[0])

        assert [message.to for message in messages(bench)] == ["noa@acme.example"]
        found = await bench.shop.ledger.deliveries.of_invitation(outsider.invitation_id)
        assert {(each.state, each.reason) for each in found} == {(DeliveryState.SKIPPED, "not_in_allowlist")}
        job = await bench.shop.ledger.queries.job(outsider.job_ids[0])
        assert job is not None
        assert job.state is JobState.LINKED


async def test_a_message_of_a_channel_without_settings_waits_for_a_worker_that_has_them(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """No SMTP set: the mail stays pending and no bell is rung for it; a worker with SMTP sends it."""
    async with a_bench(valkey_url, tmp_path / "1", real_channels=True, smtp_url=None) as bench:
        receipt = await bench.accept()
        await work(bench, receipt.job_ids[0])
        assert Channel.EMAIL not in bench.shop.dispatchers
        assert await handlers.ring_messages(bench.shop) == 0
        assert (
            await handlers.deliver(f"{receipt.invitation_id}.email.invitation.1", Channel.EMAIL, bench.shop)
            is None
        )
        assert await states(bench, receipt) == {("email", 1): DeliveryState.PENDING}

    async with a_bench(valkey_url, tmp_path / "2", real_channels=True) as bench:
        assert await handlers.ring_messages(bench.shop) == 1
        await deliver_rung(bench)
        assert await states(bench, receipt) == {("email", 1): DeliveryState.SENT}
        assert len(messages(bench)) == 1


async def test_a_send_whose_beginning_could_not_be_written_down_is_no_send(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger goes away between claim and send: mail and text stay here, surely, and go out later; no doubt is left."""
    deliveries = bench.shop.ledger.deliveries
    begin_send = deliveries.begin_send

    async def lost(*_: object, **__: object) -> bool:
        raise LedgerUnavailable("ConnectionError")

    monkeypatch.setattr(deliveries, "begin_send", lost)
    receipt = await bench.accept(channels=BOTH)
    await work(bench, receipt.job_ids[0])
    assert set((await states(bench, receipt)).values()) == {DeliveryState.PENDING}
    assert messages(bench) == []

    monkeypatch.setattr(deliveries, "begin_send", begin_send)
    found = await deliveries.of_invitation(receipt.invitation_id)
    assert [each.doubts for each in found] == [0, 0]
    assert {each.reason for each in found} == {"lease_lost"}


async def test_a_template_that_fails_costs_nobody_his_message(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator's template asks for what is not there: the channel is at fault, the message waits; no name is logged."""

    def broken(*_: object, **__: object) -> None:
        cause = KeyError("Dana Cohen")
        raise BadTemplateError(Path("own/invitation.html.j2"), 7, "'nobody' is undefined") from cause

    receipt = await bench.accept()
    await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop)
    monkeypatch.setattr(type(bench.shop.composer), "compose", broken)
    capsys.readouterr()
    outcome = await handlers.deliver(f"{receipt.invitation_id}.email.invitation.1", Channel.EMAIL, bench.shop)

    assert isinstance(outcome, ChannelDown)
    assert (outcome.fail.reason, outcome.fail.detail) == ("template_failed", "invitation.html.j2:7")
    told = "".join(capsys.readouterr())
    assert "invitation.html.j2:7" in told
    assert "Dana" not in told
    (delivery,) = await bench.shop.ledger.deliveries.of_invitation(receipt.invitation_id)
    assert (delivery.state, delivery.failures) == (DeliveryState.PENDING, 0)


def messages(bench: Bench) -> list[Captured]:
    """Return what was captured, oldest first."""
    return list(bench.sandbox.outbox.newest())[::-1]
