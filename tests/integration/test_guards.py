"""The guards against draining, with real worker processes: a systemic failure leaves jobs waiting."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.job import JobRecord
from worker.domain.request import Contact
from worker.domain.states import JobState, Lane
from worker.limits import Limits

CODE_NOBODY_KNOWS = 19


async def backfill(stack: Stack, count: int, batch: str = "b") -> None:
    """Accept *count* bulk jobs of one batch."""
    await stack.ledger.batches.open(batch, name="test", source="csv", by="test")
    for start in range(0, count, 100):
        size = min(100, count - start)
        chunk = [an_invitation(lane=Lane.BULK, batch_id=batch, channels=()) for _ in range(size)]
        await stack.ledger.accept(chunk, max_waiting=100_000)


async def count(stack: Stack, *states: JobState) -> int:
    counts = await stack.ledger.queries.counts()
    return sum(counts.get(state, 0) for state in states)


async def test_wrong_credentials_cost_two_token_calls_and_no_job(tmp_path: Path) -> None:
    """Two workers, refused credentials: calls are held, jobs wait; right again and resumed, all of them are linked."""
    async with Stack(tmp_path, sandbox={"refuse_credentials": True}) as stack:
        await backfill(stack, 30)
        stack.start_worker()
        stack.start_worker()
        limits = Limits(stack.redis, namespace=stack.namespace, ceiling=100)

        async def is_held() -> bool:
            return (await limits.status()).closed_reason == "credentials_held"

        await stack.until(is_held, "the credentials are held")
        await stack.until(lambda: stack.logs().count("worker_started") == 2, "both workers run")
        await asyncio.sleep(6)  # as long as it takes two workers to try again, if they were to
        assert (await stack.partner())["calls"]["access_token"] <= 2
        assert await count(stack, JobState.FAILED) == 0
        assert await count(stack, JobState.AVAILABLE, JobState.SCHEDULED) == 30

        await stack.faults(refuse_credentials=False)
        await limits.resume()  # what `linkferry resume` does

        async def are_linked() -> bool:
            return await count(stack, JobState.LINKED) == 30

        await stack.until(are_linked, "all jobs are linked")
        assert (await stack.partner())["calls"]["access_token"] <= 3


async def test_right_credentials_are_tried_at_once_and_the_work_goes_on_by_itself(tmp_path: Path) -> None:
    """A worker started with the wrong secret holds all calls; one started with the right secret needs no operator."""
    async with Stack(tmp_path) as stack:
        await backfill(stack, 20)
        real = {
            "LINKFERRY_SANDBOX": "0",
            "LINKFERRY_NAMESPACE": stack.namespace,
            "LINKFERRY_PROVIDER_URL": stack.sandbox_url,
            "LINKFERRY_PROVIDER_CLIENT_ID": "sandbox-client",
        }
        mistaken = stack.start_worker(**real, LINKFERRY_PROVIDER_CLIENT_SECRET="mistyped")
        limits = Limits(stack.redis, namespace=stack.namespace, ceiling=100)

        async def is_held() -> bool:
            return (await limits.status()).closed_reason == "credentials_held"

        await stack.until(is_held, "the credentials are held")
        mistaken.terminate()
        await stack.until(lambda: mistaken.poll() is not None, "the worker stops")
        stack.start_worker(**real, LINKFERRY_PROVIDER_CLIENT_SECRET="sandbox-secret")

        async def are_linked() -> bool:
            return await count(stack, JobState.LINKED) == 20

        await stack.until(are_linked, "all jobs are linked")
        assert (await stack.partner())["calls"]["access_token"] == 2
        assert await count(stack, JobState.FAILED) == 0


async def test_tokens_that_live_two_seconds_lose_no_job(tmp_path: Path) -> None:
    """The token runs out all the time: jobs snooze and go on, none fails, none uses up a try for it."""
    async with Stack(tmp_path, sandbox={"token_life_s": 2.0}, provider_rate=25) as stack:
        await backfill(stack, 120)
        stack.start_worker()
        stack.start_worker()

        async def are_linked() -> bool:
            return await count(stack, JobState.LINKED) == 120

        await stack.until(are_linked, "all jobs are linked")
        assert (await stack.partner())["calls"]["access_token"] >= 3


async def test_a_code_that_fails_everything_holds_the_batch_and_costs_ten_jobs_at_most(
    tmp_path: Path,
) -> None:
    """Of 5,000 jobs at most 10 fail; the rest wait behind a hold that says why; cleared, they go on."""
    async with Stack(tmp_path, sandbox={"fail_code": CODE_NOBODY_KNOWS}, provider_rate=500) as stack:
        await backfill(stack, 5_000)
        stack.start_worker()
        stack.start_worker()
        await stack.until(stack.ledger.batches.holds, "something is held")
        await asyncio.sleep(4)  # time enough for two look-ups and for whoever would drain the rest
        assert 1 <= await count(stack, JobState.FAILED) <= 10
        assert await count(stack, JobState.AVAILABLE, JobState.SCHEDULED) >= 4_990
        holds = await stack.ledger.batches.holds()
        assert {hold.reason for hold in holds.values()} == {f"unknown_{CODE_NOBODY_KNOWS}"}

        await stack.faults(fail_code=None)
        for target in holds:
            await stack.ledger.batches.clear_hold(target)

        async def go_on() -> bool:
            return await count(stack, JobState.LINKED) >= 500

        await stack.until(go_on, "the others go on")


async def calls_between(stack: Stack, job: JobRecord) -> int:
    """Return how many creates the partner was asked for from the job's being accepted to its link, its own among them."""
    [link] = (await stack.partner())["numbers"][str(job.number)]["links"]
    async with stack.http.get(f"{stack.sandbox_url}/sandbox/calls") as answer:
        calls = (await answer.json())["items"]
    span = (job.accepted_at_ms / 1000, link["created_at"])
    return sum(call["call"] == "create_whatsapp" and span[0] <= call["at"] <= span[1] for call in calls)


async def test_a_live_customer_is_not_kept_waiting_by_a_backfill(tmp_path: Path) -> None:
    """Under 5,000 bulk jobs at 20 calls/s, a live customer has the link within half a second's calls, his own among them.

    Calls and not seconds: on a slow machine all of them take longer. Most customers: any process may stand still.
    """
    async with Stack(tmp_path, sandbox={"rate": 20.0, "latency_s": [0.03, 0.06]}, provider_rate=20) as stack:
        await backfill(stack, 5_000)
        stack.start_worker()
        stack.start_worker()

        async def is_busy() -> bool:
            return await count(stack, JobState.LINKED) >= 40

        await stack.until(is_busy, "the backfill runs at full rate")
        waits = []
        for _ in range(8):
            (receipt,) = await stack.ledger.accept([an_invitation(channels=())], max_waiting=10_000)
            stack.bell.ring(receipt.ring, Lane.LIVE)

            async def linked(job_id: str = receipt.job_ids[0]) -> JobRecord | None:
                job = await stack.ledger.queries.job(job_id)
                return job if job is not None and job.state is JobState.LINKED else None

            waits.append(await calls_between(stack, await stack.until(linked, "the live job is linked")))
        assert statistics.median(waits) <= 10, waits


async def test_in_the_sandbox_no_message_reaches_a_real_server(tmp_path: Path) -> None:
    """A real SMTP server is set, and RECIPIENTS too: in the sandbox all mail lands in the outbox, none there."""
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    real = {"smtp_url": f"smtp://127.0.0.1:{port}", "email_from": "Acme <links@acme.example>"}
    async with Stack(tmp_path, **real) as stack:
        stack.start_worker()
        request = a_request(contact=Contact(name="Dana", email="dana@example.com"))
        await stack.ledger.accept([an_invitation(lane=Lane.BULK, request=request)], max_waiting=10)
        (mail,) = await stack.until(stack.outbox, "the mail lands in the outbox")
        assert mail["to"] == "dana@example.com"
    server.close()
    await server.wait_closed()
    assert arrived == []
