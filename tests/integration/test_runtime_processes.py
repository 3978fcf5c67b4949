"""Worker processes from their start to their end: the stock command, a ledger that is away, a mail under way."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.states import Channel, DeliveryState, JobState, Lane

DRAMATIQ = str(Path(sys.executable).with_name("dramatiq"))


async def accept(stack: Stack, **changes: object) -> str:
    (receipt,) = await stack.ledger.accept([an_invitation(lane=Lane.BULK, **changes)], max_waiting=1000)
    return receipt.job_ids[0]


async def sent(stack: Stack, job_id: str) -> bool:
    found = await stack.ledger.deliveries.of_invitation(job_id[:-1])
    return [delivery.state for delivery in found] == [DeliveryState.SENT]


async def test_dramatiqs_own_command_works_a_job_to_its_end_and_stops_in_order(tmp_path: Path) -> None:
    """`dramatiq worker.main` makes the link and sends the mail; told to stop, it drains and exits 0."""
    async with Stack(tmp_path) as stack:
        job_id = await accept(stack)
        stack.bell.ring(
            [job_id], Lane.BULK
        )  # rung before anybody listens: the shop must be open when it is heard
        command = stack.start_worker(DRAMATIQ, "worker.main", "--processes", "1", "--threads", "8")
        await stack.until(lambda: sent(stack, job_id), "the mail is sent")
        command.terminate()
        await stack.until(lambda: command.poll() is not None, "the command ends")

        assert command.returncode == 0, stack.logs()[-3000:]
        told = stack.logs()
        assert told.index("worker_started") < told.index("worker_draining") < told.index("worker_stopped")
        assert await stack.ledger.fleet.workers() == []
        assert "Traceback" not in told


async def test_a_worker_waits_for_its_redis_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    """Started before its Redis, a worker works once it is there; one told to stop before that ends at once, with 0."""
    async with Stack(tmp_path) as stack:
        await stack.redis.aclose()
        stack._server.terminate()
        patient, stopped = stack.start_worker(), stack.start_worker()
        await stack.until(lambda: stack.logs().count("ledger_awaited") >= 2, "both wait for the ledger")
        await stack.until(
            lambda: all("ledger_awaited" in log.read_text() for log in sorted(tmp_path.glob("log-[12].txt"))),
            "each waits for the ledger",
        )
        stopped.terminate()
        await stack.until(lambda: stopped.poll() is not None, "the other ends")
        assert stopped.returncode == 0
        assert patient.poll() is None

        await stack.restart_valkey()
        job_id = await accept(stack)
        await stack.until(lambda: sent(stack, job_id), "the mail is sent")
        assert "Traceback" not in stack.logs()


async def test_a_worker_refuses_a_ledger_of_another_version(tmp_path: Path) -> None:
    """It says so in one line, exits with 1 and has touched nothing: the waiting job is as it was."""
    async with Stack(tmp_path) as stack:
        job_id = await accept(stack)
        await stack.redis.hset(f"{{{stack.namespace}}}:m", "schema", "999")
        worker = stack.start_worker()
        await stack.until(lambda: worker.poll() is not None, "the worker ends")

        assert worker.returncode == 1
        assert "schema b'999'" in stack.logs()
        assert "Traceback" not in stack.logs()
        job = await stack.ledger.queries.job(job_id)
        assert job is not None
        assert (job.state, job.attempt) == (JobState.AVAILABLE, 0)


async def test_a_mail_under_way_ends_before_the_worker_does(tmp_path: Path) -> None:
    """The server answers after more than a lease: the heartbeat keeps it, SIGTERM waits for it, the mail is no doubt."""
    async with Stack(tmp_path, sandbox={"mail_delay_s": 4.5}) as stack:
        worker = stack.start_worker()
        job_id = await accept(stack, request=a_request(), channels=(Channel.EMAIL,))

        async def is_sending() -> bool:
            return (await stack.ledger.deliveries.counts()).get(DeliveryState.SENDING, 0) == 1

        await stack.until(is_sending, "the mail is under way")
        worker.terminate()
        await stack.until(lambda: worker.poll() is not None, "the worker ends")

        assert worker.returncode == 0
        (delivery,) = await stack.ledger.deliveries.of_invitation(job_id[:-1])
        assert (delivery.state, delivery.doubts) == (DeliveryState.SENT, 0)
        assert len(await stack.outbox()) == 1
        assert await stack.ledger.fleet.workers() == []
