"""E-mail through real SMTP servers that refuse, drop, stall and speak nonsense at every point."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.integration.dispatch_server import (
    Server,
    a_dispatcher,
    a_message,
    a_server,
    a_silent_server,
    no,
    settle,
    yes,
)
from worker.dispatch import MailDispatcher
from worker.domain.outcome import ChannelDown, DeliveryDoubt, DeliveryRetry, Sent, Undelivered


async def test_a_message_arrives_as_it_was_composed() -> None:
    """Envelope, body, leading dots and all; the server's queue id is kept."""
    message = a_message(text=".\n..\nhello\n.")
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        outcome = await dispatcher.dispatch(message, before_data=yes)

    assert outcome == Sent(provider_id="4Xy7ZK0abc")
    assert server.received[0].mail_from == "links@acme.example"
    assert server.received[0].rcpt_tos == ["dana@example.com"]
    assert server.contents == [message.encode()]


async def test_connections_are_used_again() -> None:
    """Three messages, one conversation."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        for nth in range(3):
            assert isinstance(
                await dispatcher.dispatch(a_message(delivery_id=f"{nth}"), before_data=yes), Sent
            )

    assert len(server.received) == 3
    assert len(server.sessions) == 1


async def test_a_connection_gone_stale_is_replaced_unnoticed() -> None:
    """A server may hang up on an idle client at any time: that is nobody's failure."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        await dispatcher.dispatch(a_message(), before_data=yes)
        server.sessions[0].hang_up()
        outcome = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(outcome, Sent)
    assert len(server.sessions) == 2


async def test_there_are_never_more_connections_than_allowed() -> None:
    """Ten messages at once through two."""
    async with a_server() as server, a_dispatcher(server, max_connections=2) as dispatcher:
        outcomes = await asyncio.gather(
            *(dispatcher.dispatch(a_message(), before_data=yes) for _ in range(10))
        )

    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert server.open_most == 2


async def test_a_refused_recipient_fails_alone() -> None:
    """The connection that refused him serves the next, and `before_data` was never asked."""
    asked: list[bool] = []

    async def ask() -> bool:
        asked.append(True)
        return True

    async with a_server() as server, a_dispatcher(server) as dispatcher:
        server.rcpt_reply = "550 5.1.1 no such user"
        refused = await dispatcher.dispatch(a_message(), before_data=ask)
        server.rcpt_reply = "250 Ok"
        accepted = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(refused, Undelivered)
    assert refused.fail.reason == "mailbox_unknown"
    assert not asked
    assert isinstance(accepted, Sent)
    assert len(server.sessions) == 1


async def test_a_greylisted_message_waits_longer_each_time() -> None:
    """The delivery's own failures are known to the message."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        server.rcpt_reply = "451 4.7.1 Greylisting in action, please come back later"
        first = await dispatcher.dispatch(a_message(), before_data=yes)
        later = await dispatcher.dispatch(a_message(failures=3), before_data=yes)

    assert isinstance(first, DeliveryRetry)
    assert isinstance(later, DeliveryRetry)
    assert first.fail.reason == "mail_greylisted"
    assert later.delay_s > first.delay_s


async def test_a_connection_lost_before_the_dot_sent_nothing() -> None:
    """Half a message is none: it is tried again."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        server.is_dropped_before_dot = True
        outcome = await dispatcher.dispatch(a_message(), before_data=_after_the_drop(server))

    assert isinstance(outcome, DeliveryRetry)
    assert outcome.fail.reason == "mail_connection_lost"
    assert not server.received


def _after_the_drop(server: Server) -> Callable[[], Awaitable[bool]]:
    async def wait() -> bool:
        while server.open_now:
            await asyncio.sleep(0)
        await settle()
        return True

    return wait


async def test_a_connection_lost_after_the_dot_is_a_doubt() -> None:
    """The server has the message, and whether it will keep it nobody knows."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        server.is_dropped_after_dot = True
        outcome = await dispatcher.dispatch(a_message(), before_data=yes)
        server.is_dropped_after_dot = False
        again = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(outcome, DeliveryDoubt)
    assert outcome.fail.reason == "mail_in_doubt"
    assert isinstance(again, Sent)
    assert server.contents[0] == server.contents[1]


async def test_an_answer_that_never_comes_is_a_doubt() -> None:
    """After the dot, waiting in vain says nothing about the message; the lease's deadline does not cut it short."""
    async with a_server() as server, a_dispatcher(server, answer_timeout_s=0.2) as dispatcher:
        server.is_stalled_after_dot = True
        outcome = await dispatcher.dispatch(a_message(), before_data=yes, deadline_s=30)

    assert isinstance(outcome, DeliveryDoubt)
    assert len(server.received) == 1


async def test_a_refusal_after_the_dot_is_no_doubt() -> None:
    """A reply tells, even a hostile one."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        server.end_reply = "451 4.3.0 try again"
        retry = await dispatcher.dispatch(a_message(), before_data=yes)
        server.end_reply = "554 5.7.1 looks like spam"
        down = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(retry, DeliveryRetry)
    assert isinstance(down, ChannelDown)
    assert down.fail.reason == "mail_refused_policy"


async def test_one_message_that_a_policy_refuses_does_not_stop_the_channel_twice() -> None:
    """Others got through since: it is the message."""
    poison = a_message(delivery_id="poison")
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        server.end_reply = "554 5.7.1 looks like spam"
        first = await dispatcher.dispatch(poison, before_data=yes)
        second = await dispatcher.dispatch(poison, before_data=yes)
        server.end_reply = "250 Ok"
        await dispatcher.dispatch(a_message(), before_data=yes)
        server.end_reply = "554 5.7.1 looks like spam"
        third = await dispatcher.dispatch(poison, before_data=yes)

    assert isinstance(first, ChannelDown)
    assert isinstance(second, ChannelDown)
    assert isinstance(third, Undelivered)
    assert third.fail.reason == "mail_refused"


async def test_a_lost_lease_sends_nothing() -> None:
    """The ledger says no just before the dot: the line is cut, and the server drops what it has."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        outcome = await dispatcher.dispatch(a_message(), before_data=no)
        next_one = await dispatcher.dispatch(a_message(delivery_id="next"), before_data=yes)

    assert isinstance(outcome, DeliveryRetry)
    assert outcome.fail.reason == "lease_lost"
    assert isinstance(next_one, Sent)
    assert len(server.received) == 1


async def test_a_ledger_that_can_not_be_asked_sends_nothing() -> None:
    """The caller's own error comes through."""

    async def broken() -> bool:
        raise RuntimeError("no ledger")

    async with a_server() as server, a_dispatcher(server) as dispatcher:
        with pytest.raises(RuntimeError, match="no ledger"):
            await dispatcher.dispatch(a_message(), before_data=broken)

    assert not server.received


async def test_a_process_stopped_and_continued_sends_nothing_late() -> None:
    """The ledger said yes, then the process stood still until the lease was over."""
    loop = asyncio.get_running_loop()

    async def stand_still() -> bool:
        ends_at = loop.time() + 0.3
        while loop.time() < ends_at:
            pass
        return True

    async with a_server() as server, a_dispatcher(server) as dispatcher:
        outcome = await dispatcher.dispatch(a_message(), before_data=stand_still, deadline_s=0.25)

    assert isinstance(outcome, DeliveryRetry)
    assert outcome.fail.reason == "lease_lost"
    assert not server.received


async def test_the_deadline_cuts_a_slow_conversation_short() -> None:
    """A server that never greets must not hold the message beyond its lease."""
    async with a_silent_server() as port:
        dispatcher = MailDispatcher(f"smtp://127.0.0.1:{port}", "links@acme.example")
        outcome = await dispatcher.dispatch(a_message(), before_data=yes, deadline_s=0.1)

    assert isinstance(outcome, DeliveryRetry)
    assert outcome.fail.reason == "lease_lost"


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"", "mail_unreachable"),
        (b"hello there\r\n", "mail_unreachable"),
        (b"554 5.7.1 go away\r\n", "mail_refused_policy"),
        (b"421 4.3.2 closing\r\n", "mail_temporary"),
    ],
)
async def test_a_server_that_does_not_talk_to_us_blames_no_recipient(greeting: bytes, reason: str) -> None:
    """Silence, nonsense, refusal: the channel is down and messages wait."""
    async with a_silent_server(greeting) as port:
        dispatcher = MailDispatcher(
            f"smtp://127.0.0.1:{port}", "links@acme.example", connect_timeout_s=0.2, command_timeout_s=0.2
        )
        outcome = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(outcome, ChannelDown)
    assert outcome.fail.reason == reason


async def test_no_server_at_all_blames_no_recipient() -> None:
    """Nobody listens there."""
    async with a_server() as server:
        port = server.port
    dispatcher = MailDispatcher(f"smtp://127.0.0.1:{port}", "links@acme.example")
    outcome = await dispatcher.dispatch(a_message(), before_data=yes)

    assert isinstance(outcome, ChannelDown)
    assert outcome.fail.reason == "mail_unreachable"


async def test_a_domain_in_hebrew_is_reached() -> None:
    """In punycode; a local part outside ASCII can't be carried, and says so."""
    async with a_server() as server, a_dispatcher(server) as dispatcher:
        reached = await dispatcher.dispatch(a_message(to="dana@דוגמה.example"), before_data=yes)
        refused = await dispatcher.dispatch(a_message(to="דנה@example.com"), before_data=yes)

    assert isinstance(reached, Sent)
    assert b"<dana@xn--" in server.contents[0]
    assert server.received[0].rcpt_tos == [f"dana@{'דוגמה'.encode('idna').decode()}.example"]
    assert isinstance(refused, Undelivered)
    assert refused.fail.reason == "mailbox_unknown"
