"""A whole fleet at work, looked at from outside: /metrics says all of it, and nothing personal is anywhere."""

from __future__ import annotations

from pathlib import Path

import dramatiq
import redis.asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import a_number, a_request, an_invitation
from tests.integration.test_runtime_outage import Web
from tests.stack import Stack
from worker.domain.request import Contact
from worker.domain.states import Channel, JobState, Lane

NAMES = ("Yehonatan", "Ben-Tsvi")


def samples(page: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return what is on a metrics page, by the sample's name."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def value(rows: list[tuple[dict[str, str], float]], **labels: str) -> float:
    return sum(amount for has, amount in rows if labels.items() <= has.items())


async def broker_content(stack: Stack) -> bytes:
    """Return everything that lies in the broker's database."""
    client = redis.asyncio.Redis.from_url(f"{stack.redis_url}?db=1")
    parts: list[bytes] = []
    for key in await client.keys("*"):
        parts.append(key)
        match await client.type(key):
            case b"hash":
                parts += [part for pair in (await client.hgetall(key)).items() for part in pair]
            case b"list":
                parts += await client.lrange(key, 0, -1)
            case b"zset":
                parts += await client.zrange(key, 0, -1)
            case b"set":
                parts += await client.smembers(key)
    await client.aclose()
    return b"\n".join(parts)


async def accept(stack: Stack, count: int, **changes: object) -> tuple[list[str], list[str]]:
    """Accept customers with all that is personal; return their job ids and what must be seen nowhere."""
    job_ids, personal = [], []
    for _ in range(count):
        number, phone = a_number(), a_number()
        email = f"private{number[-7:]}@customers.example"
        contact = Contact(name=" ".join(NAMES), email=email, phone=phone, locale="en")
        request = a_request(whatsapp=number, contact=contact)
        invitation = an_invitation(request=request, channels=(Channel.EMAIL, Channel.SMS), **changes)
        (receipt,) = await stack.ledger.accept([invitation], max_waiting=1000)
        job_ids += receipt.job_ids
        personal += [number, phone, email, number[3:], phone[3:]]
    return job_ids, personal


async def test_metrics_tell_the_fleet_and_nothing_personal_is_in_logs_metrics_or_bells(
    tmp_path: Path,
) -> None:
    """Links made, refused, doubted and sent by two channels, an actor made to fail: counted, and not told of whom."""
    async with Stack(tmp_path, email_rate=100, sms_rate=100) as stack:
        web, worker = Web(stack), stack.start_worker()
        made, personal = await accept(stack, 6, lane=Lane.LIVE)
        await stack.until(lambda: counted(stack, JobState.LINKED, 6), "six links are made")
        await stack.faults(fail_code=19)
        refused, more = await accept(stack, 1, lane=Lane.BULK)
        personal += more
        await stack.until(lambda: counted(stack, JobState.FAILED, 1), "one is refused")
        await stack.faults(fail_code=None, drop_after=1.0, calls=["create_whatsapp"])
        doubted, more = await accept(stack, 1, lane=Lane.BULK)
        personal += more
        await stack.until(lambda: counted(stack, JobState.LINKED, 7), "a doubt is resolved")
        await stack.faults(drop_after=0.0)

        async def are_told() -> bool:
            return len(await stack.outbox()) == 14

        await stack.until(are_told, "seven customers have a mail and a text each")
        # No message of ours has such arguments; what the log then says of it must be masked all the same.
        stray = ("972539876543", "stray.customer@customers.example")
        stack.bell._broker.enqueue(
            dramatiq.Message(queue_name="live", actor_name="create_link", args=stray, kwargs={}, options={})
        )
        await stack.until(lambda: "actor_failed" in stack.logs(), "an actor fails")

        async def page() -> str:
            async with stack.http.get(f"http://127.0.0.1:{web.port}/metrics") as answer:
                assert answer.status == 200
                return await answer.text()

        async def is_flushed() -> bool:
            rows = samples(await page()).get("linkferry_messages_total", [])
            return value(rows, outcome="sent") == 14

        await stack.until(web.is_ready, "the web process is ready")
        await stack.until(is_flushed, "the counters are flushed")
        text = await page()
        worker.terminate()
        await stack.until(lambda: worker.poll() is not None, "the worker stops")
        waiting, more = await accept(stack, 5, lane=Lane.LIVE)
        personal += more
        stack.bell.ring(waiting, Lane.LIVE)
        stack.bell.ring_fan_out(made[0])
        stack.bell.ring_deliveries([f"{made[0][:-1]}.email.invitation.1"], Channel.EMAIL)
        await stack.bell.aclose()
        bells = (await broker_content(stack)).decode(errors="replace")

        found = samples(text)
        assert value(found["linkferry_jobs"], state="linked") == 7
        assert value(found["linkferry_jobs"], state="failed") == 1
        assert value(found["linkferry_calls_total"], outcome="linked", product="whatsapp") == 6
        assert value(found["linkferry_calls_total"], outcome="refused", reason="unknown_19") == 1
        assert value(found["linkferry_calls_total"], outcome="doubtful", reason="partner_dropped") == 1
        assert value(found["linkferry_limiter_waits_total"]) >= 8
        assert value(found["linkferry_limiter_wait_seconds_total"]) >= 0
        assert value(found["linkferry_deliveries"], state="sent") == 14
        assert value(found["linkferry_messages_total"], channel="sms", outcome="sent") == 7
        assert value(found["linkferry_doubts_resolved_total"], state="linked") == 1
        assert value(found["linkferry_failures_total"], reason="unknown_19") == 1
        assert {labels["lane"] for labels, _ in found["linkferry_lane_waiting"]} == {"live", "bulk"}
        assert {labels["lane"] for labels, _ in found["linkferry_lane_oldest_seconds"]} == {"live", "bulk"}
        assert value(found["linkferry_workers"]) == 1
        assert value(found["linkferry_loop_lag_seconds"]) >= 0

        links = [job.link for job in await stack.ledger.queries.jobs([*made, *doubted]) if job.link]
        assert len(links) == 7
        private = [*personal, *NAMES, *links, *(link.rpartition("/")[2] for link in links)]
        assert all(job_id in bells for job_id in waiting)
        # All that was printed but for the sandbox's own lines: it plays the partner, and says where it listens.
        logs = "\n".join(line for line in stack.logs().splitlines() if not line.startswith("SANDBOX"))
        for place, content in {"logs": logs, "metrics": text, "bells": bells}.items():
            assert not [word for word in private if word in content], place
        assert not [word for word in stray if word in logs]
        assert refused[0] in logs


async def counted(stack: Stack, state: JobState, count: int) -> bool:
    return (await stack.ledger.queries.counts())[state] == count
