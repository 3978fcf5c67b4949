"""Alerts end to end: a ledger in trouble, a real HTTP receiver, a real mail server, workers that come and go."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from aiohttp import web
from structlog.testing import capture_logs

from tests.contract.ledger_desk import Desk, a_fail
from tests.integration.dispatch_server import Server, a_server
from tests.integration.events_receiver import SECRET, Receiver, a_receiver
from tests.integration.runtime_shop import a_bench
from worker.clock import SystemClock
from worker.dispatch import Sender
from worker.dispatch.alerts import AlertSink, MailAlerts, WebhookAlerts
from worker.domain.alert_words import Environment
from worker.domain.alerts import AlertPhase, TellingState, Thresholds
from worker.domain.outcome import Refused
from worker.domain.standard_webhooks import parse_secret
from worker.domain.states import JobState, Lane
from worker.limits import Limits
from worker.maintenance.alerts import AlertTeller, AlertWatch
from worker.telemetry import Stats
from worker.workshop import duties_of

WHERE = Environment(is_sandbox=False, namespace="test", public_url="https://ferry.example.com")
ADDRESS = "ops@example.com"
LOOK_S = 15.0


@dataclass
class Worker:
    """What one worker process does about alerts."""

    watch: AlertWatch
    teller: AlertTeller

    async def turn(self) -> None:
        """Look once and tell what is due."""
        await self.watch.run_once()
        await self.tell()

    async def tell(self) -> None:
        """Tell what is due."""
        for sink in self.teller.sinks:
            await self.teller.tell(sink)


@dataclass
class Fleet:
    """A ledger with a clock to turn by hand, its workers, and who is told."""

    desk: Desk
    receiver: Receiver
    server: Server
    workers: list[Worker]

    @property
    def mails(self) -> list[Any]:
        """Return the mails that were handed over."""
        return [email.message_from_bytes(each, policy=email.policy.default) for each in self.server.contents]

    @property
    def posts(self) -> list[tuple[str, str]]:
        """Return type and subject of what was posted."""
        return [(each["type"], each["text"].splitlines()[0]) for each in self.receiver.got]

    async def look_for(self, seconds: float) -> None:
        """Let the first worker mind alerts for so long."""
        for _ in range(round(seconds / LOOK_S)):
            self.desk.advance(LOOK_S)
            await self.workers[0].turn()

    async def fail(self, count: int, reason: str = "unknown_17") -> list[str]:
        """Have so many jobs fail for one reason."""
        jobs = [(await self.desk.accept()).job_ids[0] for _ in range(count)]
        for job in jobs:
            await self.desk.end(job, Refused(fail=a_fail(reason, is_own_data=True)))
        return jobs


def a_worker(desk: Desk, sinks: list[AlertSink], name: str) -> Worker:
    limits = Limits(desk.redis, namespace="test", ceiling=10)
    stats = Stats()
    return Worker(
        AlertWatch(
            ledger=desk.ledger,
            limits=limits,
            stats=stats,
            thresholds=Thresholds(),
            keep_s={JobState.DEAD: 90 * 86_400.0},
            has_credentials=True,
            sinks=[sink.name for sink in sinks],
        ),
        AlertTeller(ledger=desk.ledger, sinks=sinks, stats=stats, environment=WHERE, worker_id=name),
    )


@asynccontextmanager
async def a_fleet(client: redis.asyncio.Redis, workers: int = 1, **answers: Any) -> AsyncIterator[Fleet]:
    """Open a fleet whose alerts go to a receiver, which answers as *answers* say, and to a mailbox."""
    desk = await Desk.open(client)
    async with a_receiver(**answers) as receiver, a_server() as server:
        smtp_url, sender = f"smtp://127.0.0.1:{server.port}", Sender.parse("Acme <links@acme.example>")
        fleet = Fleet(desk, receiver, server, [])
        for n in range(workers):
            sinks: list[AlertSink] = [
                WebhookAlerts(receiver.url, [parse_secret(SECRET)], clock=SystemClock()),
                MailAlerts(smtp_url, sender, ADDRESS),
            ]
            fleet.workers.append(a_worker(desk, sinks, f"w{n}"))
        try:
            yield fleet
        finally:
            for worker in fleet.workers:
                await worker.teller.aclose()


async def test_a_surge_is_told_once_and_its_end_once(real_redis: redis.asyncio.Redis) -> None:
    """Twenty failures of one reason: one post and one mail, and no more however long it goes on; one of each at its end."""
    async with a_fleet(real_redis) as fleet:
        await fleet.fail(19)
        await fleet.look_for(60)
        assert fleet.posts == []

        await fleet.fail(1)
        await fleet.look_for(540)
        assert fleet.posts == [
            (
                "alert.opened",
                "[Linkferry live, test] 20 jobs failed with unknown_17 within ten minutes (usual: 0)",
            )
        ]
        [mail] = fleet.mails
        assert mail["Subject"] == fleet.posts[0][1]
        assert mail["To"] == ADDRESS
        body = mail.get_body(("plain",)).get_content()
        assert "linkferry failed list --reason unknown_17" in body
        assert "https://ferry.example.com/failed/unknown_17" in body

        await fleet.look_for(3600)
        assert [kind for kind, _ in fleet.posts] == ["alert.opened", "alert.ended"]
        assert [each["Subject"].count("Over: ") for each in fleet.mails] == [0, 1]
        assert len(set(fleet.receiver.ids)) == 2
        assert fleet.receiver.got[1]["data"]["peak"] == 20


async def test_a_failed_queue_that_grows_is_told_once_and_its_end_once(
    real_redis: redis.asyncio.Redis,
) -> None:
    """Fifty failures within an hour, for reasons none of which surges: one alert and its end, whatever comes on top."""
    async with a_fleet(real_redis) as fleet:
        for n in range(4):
            await fleet.fail(13 if n else 10, reason=f"unknown_{n}")
        await fleet.look_for(60)
        assert fleet.posts == []

        await fleet.fail(1, reason="unknown_9")
        await fleet.look_for(60)
        await fleet.fail(12, reason="unknown_8")
        await fleet.look_for(600)
        assert [text for _, text in fleet.posts] == [
            "[Linkferry live, test] The failed queue grows: 50 jobs failed within an hour, 50 wait for a person"
        ]
        await fleet.look_for(5400)
        assert [kind for kind, _ in fleet.posts] == ["alert.opened", "alert.ended"]
        assert [each["Subject"].count("Over: ") for each in fleet.mails] == [0, 1]


async def test_many_taken_back_from_a_discard_are_no_surge(real_redis: redis.asyncio.Redis) -> None:
    """They failed long ago, and were told of then."""
    async with a_fleet(real_redis) as fleet:
        jobs = await fleet.fail(60)
        await fleet.look_for(5400)
        told = len(fleet.posts)
        for job in jobs:
            await fleet.desk.ledger.discard(job, by="cli:dana", why="old")
            await fleet.desk.ledger.restore(job, by="cli:dana", why="wrong list")
        await fleet.look_for(600)

        assert (told, len(fleet.posts)) == (2, 2)


async def test_a_hold_is_told_at_once_and_its_clearing(real_redis: redis.asyncio.Redis) -> None:
    """With the command that clears it."""
    async with a_fleet(real_redis) as fleet:
        await fleet.desk.accept_batch("b1", 3)
        await fleet.desk.ledger.batches.hold("batch:b1", "unknown_17")
        await fleet.workers[0].turn()
        assert fleet.posts == [
            ("alert.opened", "[Linkferry live, test] Batch b1 is held: unknown_17. 3 jobs wait")
        ]
        assert "linkferry batch resume b1" in fleet.receiver.got[0]["data"]["commands"]

        await fleet.desk.ledger.batches.clear_hold("batch:b1")
        await fleet.look_for(285)
        assert len(fleet.posts) == 1
        await fleet.look_for(30)
        assert [kind for kind, _ in fleet.posts] == ["alert.opened", "alert.ended"]


async def test_a_hold_that_a_look_up_may_clear_is_told_of_a_minute_later(
    real_redis: redis.asyncio.Redis,
) -> None:
    """Not at all where it is cleared meanwhile; else with the word that nothing is to be done yet."""
    async with a_fleet(real_redis) as fleet:
        await fleet.desk.accept_batch("b1", 9)
        await fleet.desk.drain(Lane.BULK, Refused(fail=a_fail()))
        await fleet.look_for(45)
        assert "batch:b1" in await fleet.desk.ledger.batches.holds()
        assert fleet.posts == []

        await fleet.look_for(30)
        assert len(fleet.posts) == 1
        assert fleet.receiver.got[0]["data"]["what_to_do"].startswith("Nothing yet")


async def test_a_live_customer_who_waits_too_long_is_told_of(real_redis: redis.asyncio.Redis) -> None:
    """A minute and a half; behind a pause of the lane the pause is the news, an hour later."""
    async with a_fleet(real_redis) as fleet:
        await fleet.desk.accept()
        await fleet.look_for(60)
        assert fleet.posts == []
        await fleet.look_for(60)
        assert [text for _, text in fleet.posts] == [
            "[Linkferry live, test] 1 live jobs wait, the oldest for 105 s"
        ]

        await fleet.desk.ledger.batches.pause("live")
        await fleet.look_for(4000)
        assert [kind for kind, _ in fleet.posts] == ["alert.opened", "alert.ended", "alert.opened"]
        assert "is paused" in fleet.posts[2][1]


async def test_dead_letters_are_warned_of_a_day_ahead(real_redis: redis.asyncio.Redis) -> None:
    """With the command that keeps a copy."""
    async with a_fleet(real_redis) as fleet:
        await fleet.desk.job_in(JobState.DEAD)
        fleet.desk.advance(88 * 86_400)
        await fleet.look_for(60)
        assert fleet.posts == []

        fleet.desk.advance(86_400)
        await fleet.look_for(60)
        [(_, text)] = fleet.posts
        assert text == "[Linkferry live, test] 1 dead letters will be deleted on 2026-12-20 (UTC)"
        assert fleet.receiver.got[0]["data"]["commands"][0].endswith("--state dead")


async def test_a_receiver_that_is_down_is_told_when_it_is_back(real_redis: redis.asyncio.Redis) -> None:
    """Beginning and end, in that order, by the ids of the first try; mail is not kept waiting meanwhile."""
    async with a_fleet(real_redis, then=503) as fleet:
        await fleet.desk.ledger.batches.hold("live", "unknown_17")
        with capture_logs() as logs:
            await fleet.look_for(120)
        tries = len(fleet.receiver.ids)
        assert tries >= 3
        assert len(set(fleet.receiver.ids)) == 1
        assert len(fleet.mails) == 1
        assert {line["outcome"] for line in logs if line["event"] == "alert_not_told"} == {"again"}

        await fleet.desk.ledger.batches.clear_hold("live")
        await fleet.look_for(600)
        assert len(fleet.mails) == 2
        fleet.receiver.then = 200
        await fleet.look_for(1300)

        assert [each["type"] for each in fleet.receiver.got[-2:]] == ["alert.opened", "alert.ended"]
        assert "It was over at" in fleet.receiver.got[-2]["text"], "it says that it is old"
        assert len(set(fleet.receiver.ids)) == 2


async def test_a_receiver_that_moved_is_not_followed_and_told_when_the_address_is_right(
    real_redis: redis.asyncio.Redis,
) -> None:
    """A signed alert goes where the setting says and nowhere else; the list says that it is led elsewhere."""
    async with a_receiver() as elsewhere, a_fleet(real_redis, then=307) as fleet:
        fleet.receiver.headers["Location"] = elsewhere.url
        await fleet.desk.ledger.batches.hold("live", "unknown_17")
        await fleet.look_for(60)
        [incident] = await fleet.desk.ledger.incidents.open()
        [webhook] = [each for each in incident.tellings if each.sink == "webhook"]
        assert (webhook.state, webhook.fault, webhook.status) == (TellingState.WAITING, "redirected", 307)

        fleet.receiver.then = 200
        await fleet.look_for(600)
        assert elsewhere.ids == []
        assert len(set(fleet.receiver.ids)) == 1
        [incident] = await fleet.desk.ledger.incidents.open()
        assert {each.state for each in incident.tellings} == {TellingState.TOLD}


async def test_a_receiver_that_never_answers_is_given_up_after_a_day(real_redis: redis.asyncio.Redis) -> None:
    """What could not be told stands in the list, and the next incident is tried anew."""
    async with a_fleet(real_redis, then=410) as fleet:
        await fleet.desk.ledger.batches.hold("live", "unknown_17")
        await fleet.look_for(60)
        [incident] = await fleet.desk.ledger.incidents.open()
        states = {each.sink.partition(":")[0]: each.state for each in incident.tellings}
        assert states == {"webhook": TellingState.FAILED, "email": TellingState.TOLD}, "410: it wants no more"

        fleet.receiver.then = 500
        await fleet.desk.ledger.batches.hold("bulk", "unknown_17")
        await fleet.workers[0].turn()
        tries = len(fleet.receiver.ids)
        fleet.desk.advance(86_400)
        await fleet.workers[0].turn()
        fleet.desk.advance(86_400)
        await fleet.workers[0].turn()
        assert len(fleet.receiver.ids) == tries + 1


async def test_a_mailbox_that_does_not_exist_is_asked_once(real_redis: redis.asyncio.Redis) -> None:
    """Asking again and again would harm our name with that server; a busy one is asked again."""
    async with a_fleet(real_redis) as fleet:
        fleet.server.rcpt_reply = "550 5.1.1 no such user"
        await fleet.desk.ledger.batches.hold("live", "unknown_17")
        await fleet.look_for(1200)
        [incident] = await fleet.desk.ledger.incidents.open()
        [mail] = [each for each in incident.tellings if each.sink != "webhook"]
        assert (mail.state, mail.tries) == (TellingState.FAILED, 1)

        fleet.server.rcpt_reply = "451 4.7.1 come again"
        await fleet.desk.ledger.batches.hold("bulk", "unknown_17")
        await fleet.look_for(60)
        fleet.server.rcpt_reply = "250 2.1.5 Ok"
        await fleet.look_for(60)
        assert [each["Subject"] for each in fleet.mails] == [
            "[Linkferry live, test] bulk is held: unknown_17. 0 jobs wait"
        ]


async def test_many_workers_tell_each_incident_once(real_redis: redis.asyncio.Redis) -> None:
    """All look and tell at the same moment, and again."""
    async with a_fleet(real_redis, workers=4) as fleet:
        await fleet.fail(25)
        await fleet.desk.ledger.batches.hold("live", "unknown_17")
        for _ in range(4):
            await asyncio.gather(*(worker.turn() for worker in fleet.workers))
            fleet.desk.advance(LOOK_S)

        assert sorted(text.split("] ")[1][:12] for _, text in fleet.posts) == ["25 jobs fail", "live is held"]
        assert len(fleet.mails) == 2


async def test_what_a_dead_worker_was_telling_another_tells(real_redis: redis.asyncio.Redis) -> None:
    """The receiver has it, the ledger never heard so: once more by the same id, and the log says that it is again."""
    async with a_fleet(real_redis, workers=2) as fleet:
        await fleet.desk.ledger.batches.hold("live", "unknown_17")
        doomed, successor = fleet.workers
        await doomed.watch.run_once()
        [claimed] = await fleet.desk.ledger.incidents.claim("webhook", worker_id="w0", lease_s=120)
        await doomed.teller._say(claimed, doomed.teller.sinks[0])

        fleet.desk.advance(119)
        await successor.tell()
        assert len(fleet.receiver.ids) == 1
        fleet.desk.advance(1)
        with capture_logs() as logs:
            await successor.tell()
        await successor.tell()

    assert fleet.receiver.counts().most_common() == [(fleet.receiver.ids[0], 2)]
    assert [line["is_repeat"] for line in logs if line["event"] == "alert_told"] == [True]


async def test_a_worker_that_stops_ends_what_it_is_telling(real_redis: redis.asyncio.Redis) -> None:
    """Its duties are cancelled at once; what is on its way is written down, so that nobody tells it again."""
    async with a_fleet(real_redis) as fleet:
        await fleet.desk.ledger.batches.hold("live", "unknown_17")
        worker = fleet.workers[0]
        await worker.watch.run_once()
        fleet.receiver.gate.clear()
        duty = asyncio.create_task(worker.teller.tell(worker.teller.sinks[0]))
        while not fleet.receiver.ids:
            await asyncio.sleep(0.01)  # the pace of the poll: the post is on its way by sockets
        duty.cancel()
        with pytest.raises(asyncio.CancelledError):
            await duty
        fleet.receiver.gate.set()
        await worker.teller.aclose()

        [incident] = await fleet.desk.ledger.incidents.open()
        [webhook] = [each for each in incident.tellings if each.sink == "webhook"]
        assert (webhook.phase, webhook.state) == (AlertPhase.OPENED, TellingState.TOLD)


async def test_without_a_secret_posts_are_not_signed(real_redis: redis.asyncio.Redis) -> None:
    """As chat tools take them: `text`, and no signature that nobody would check."""
    got: list[tuple[dict[str, str], Any]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.json()))
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = [name[:2] for name in runner.addresses]
    desk = await Desk.open(real_redis)
    worker = a_worker(desk, [WebhookAlerts(f"http://127.0.0.1:{port}/hook", (), clock=SystemClock())], "w")
    try:
        await desk.ledger.batches.hold("live", "unknown_17")
        await worker.turn()
    finally:
        await worker.teller.aclose()
        await runner.cleanup()

    [(headers, body)] = got
    assert "webhook-signature" not in {name.lower() for name in headers}
    assert body["text"].startswith("[Linkferry live, test] live is held")


async def test_in_the_sandbox_mails_are_captured_and_nothing_is_posted(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """Whatever ALERT_URL says; the subject says that it is the sandbox."""
    settings = {"alert_email": "ops@example.com,dana@example.com", "alert_url": "https://alerts.example.com/"}
    async with a_bench(valkey_url, tmp_path, **settings) as bench:
        shop = bench.shop
        assert len(shop.alert_sinks) == 2
        assert all(sink.name.startswith("email:") for sink in shop.alert_sinks)
        await shop.ledger.batches.hold("live", "unknown_17")
        [look] = [duty for duty in duties_of(shop, bench.settings) if duty.name == "alerts"]
        await look.run_once()
        teller = AlertTeller(
            ledger=shop.ledger,
            sinks=shop.alert_sinks,
            stats=shop.stats,
            environment=Environment(is_sandbox=True, namespace=bench.settings.namespace),
            worker_id="bench",
        )
        with capture_logs() as logs:
            for duty in teller.duties():
                await duty.run_once()
        await teller.aclose()

        mails = [*bench.sandbox.outbox.newest()]
        assert sorted(mail.to for mail in mails) == ["dana@example.com", "ops@example.com"]
        assert {mail.subject for mail in mails} == {
            "[Linkferry sandbox] live is held: unknown_17. 0 jobs wait"
        }
        text = str(logs)
        assert text.count("alert_told") == 2
        assert "example.com" not in text
