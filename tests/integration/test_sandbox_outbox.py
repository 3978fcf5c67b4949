"""The outbox: every mail and text is captured and shown, and refused or lost as the tester asks."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import pytest

from worker.partner.sandbox import RunningSandbox, SandboxSettings, serve_sandbox

SMS = {"apiKey": "key", "from": "Linkferry", "to": "0501234567", "text": "שלום https://x.example/1"}


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """Return a sandbox without limits or faults."""
    running = await serve_sandbox()
    yield running
    await running.stop()


def a_mail(**headers: str) -> EmailMessage:
    message = EmailMessage()
    named = {"From": "us@example.com", "To": "dana@example.com", "Subject": "הקישור שלך", **headers}
    for name, value in named.items():
        message[name] = value
    message.set_content("שלום דנה https://onboarding.example/1")
    message.add_alternative("<p dir=rtl>שלום <script>alert(1)</script></p>", subtype="html")
    return message


async def send(sandbox: RunningSandbox, message: EmailMessage | None = None, **login: Any) -> None:
    await aiosmtplib.send(
        message or a_mail(), hostname="127.0.0.1", port=sandbox.smtp_port, timeout=5, **login
    )


async def get(sandbox: RunningSandbox, path: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(sandbox.url + path) as response:
        is_json = response.content_type == "application/json"
        return await response.json() if is_json else await response.text()


async def test_a_mail_is_captured_and_shown(sandbox: RunningSandbox) -> None:
    """Its parts are decoded; the page shows its HTML in a frame that can run nothing."""
    await send(sandbox)
    told = await get(sandbox, "/sandbox/outbox")
    page = await get(sandbox, f"/sandbox/outbox/{told['items'][0]['id']}")

    entry = told["items"][0]
    assert told["total"] == 1
    assert (entry["kind"], entry["to"], entry["subject"]) == ("mail", "dana@example.com", "הקישור שלך")
    assert "שלום דנה" in entry["text"]
    assert "<p dir=rtl>" in entry["html"]
    assert entry["headers"]["From"] == "us@example.com"
    assert "<script>" not in page
    assert 'sandbox="allow-popups' in page


async def test_messages_come_newest_first_and_can_be_searched(sandbox: RunningSandbox) -> None:
    """By kind and by recipient, with the texts left out where asked."""
    await send(sandbox)
    await send(sandbox, a_mail(To="noa@example.com"))
    async with aiohttp.ClientSession() as session:
        await session.post(f"{sandbox.url}/sms/sendMessage", data=SMS)
    everything = await get(sandbox, "/sandbox/outbox?brief=1")
    noa = await get(sandbox, "/sandbox/outbox?kind=mail&to=noa")

    assert [entry["kind"] for entry in everything["items"]] == ["sms", "mail", "mail"]
    assert "html" not in everything["items"][1]
    assert noa["total"] == 1


async def test_an_unknown_user_bounces_and_greylisting_puts_off_once(sandbox: RunningSandbox) -> None:
    """550 for an address that begins with bounce, 451 for each new one when greylisting."""
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await send(sandbox, a_mail(To="bounce-1@example.com"))
    assert refused.value.recipients[0].code == 550
    sandbox.faults.update({"mail_greylist": True})
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as put_off:
        await send(sandbox)
    assert put_off.value.recipients[0].code == 451
    await send(sandbox)
    assert len(sandbox.outbox) == 1


@pytest.mark.parametrize(("fault", "captured"), [("mail_drop_before", 0), ("mail_drop_after", 1)])
async def test_a_connection_lost_around_the_final_dot(
    sandbox: RunningSandbox, fault: str, captured: int
) -> None:
    """Before it the message is not taken; after it it is, and the sender never hears so."""
    sandbox.faults.update({fault: 1.0})
    with pytest.raises(aiosmtplib.SMTPException):
        await send(sandbox)

    assert len(sandbox.outbox) == captured


async def test_authentication_can_be_required(sandbox: RunningSandbox) -> None:
    """Without it a login is taken but not needed."""
    await send(sandbox, username="any", password="any")
    sandbox.faults.update({"mail_auth": True})
    with pytest.raises(aiosmtplib.SMTPException):
        await send(sandbox)
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await send(sandbox, username="sandbox", password="wrong")
    await send(sandbox, username="sandbox", password="sandbox")

    assert len(sandbox.outbox) == 2


async def test_99digitals_form_is_checked_and_captured(sandbox: RunningSandbox) -> None:
    """One entry per number; each broken field has its documented reason."""
    bad = {"apiKey": 6, "from": 9, "to": 7, "text": 8}
    async with aiohttp.ClientSession() as session:
        url = f"{sandbox.url}/sms/sendMessage"
        ok = await (await session.post(url, data={**SMS, "to": "0501234567,0521234567"})).json()
        reasons = {
            name: (await (await session.post(url, data={**SMS, name: ""})).json())["reason"] for name in bad
        }
        long_sender = await (await session.post(url, data={**SMS, "from": "x" * 12})).json()
        plus = await (await session.post(url, data={**SMS, "to": "+972501234567"})).json()

    assert (ok["status"], ok["reason"]) == ("OK", 1)
    assert reasons == bad
    assert (long_sender["reason"], plus["reason"]) == (2, 7)
    assert [entry.to for entry in sandbox.outbox.newest()] == ["0521234567", "0501234567"]


async def test_twilios_form_is_checked_and_captured(sandbox: RunningSandbox) -> None:
    """Basic authentication, E.164, and a lost answer when asked for."""
    url = f"{sandbox.url}/2010-04-01/Accounts/AC1/Messages.json"
    form = {"From": "Linkferry", "To": "+972501234567", "Body": "שלום"}
    auth = {"Authorization": aiohttp.encode_basic_auth("AC1", "secret")}
    async with aiohttp.ClientSession() as session:
        stranger = await session.post(url, data=form)
        made = await session.post(url, data=form, headers=auth)
        sid = (await made.json())["sid"]
        bad = await session.post(url, data={**form, "To": "0501234567"}, headers=auth)
        bad_code = (await bad.json())["code"]
        sandbox.faults.update({"sms_drop_after": 1.0})
        with pytest.raises(aiohttp.ClientError):
            await session.post(url, data=form, headers=auth)

    assert (stranger.status, made.status, bad.status) == (401, 201, 400)
    assert sid.startswith("SM")
    assert bad_code == 21211
    assert [entry.note for entry in sandbox.outbox.newest()] == ["answer lost", ""]


async def test_the_outbox_keeps_the_last_messages_and_survives_a_restart(tmp_path: Path) -> None:
    """Memory is bounded; a folder brings back what was kept."""
    settings = SandboxSettings(outbox_most=2, outbox_folder=tmp_path / "outbox")
    first = await serve_sandbox(settings=settings)
    for name in ("a", "b", "c"):
        await send(first, a_mail(To=f"{name}@example.com"))
    await first.stop()
    (tmp_path / "outbox" / "000009.json").write_text('{"id": "00')  # killed in the midst
    second = await serve_sandbox(settings=settings)
    await send(second, a_mail(To="d@example.com"))
    kept = [entry.to[0] for entry in second.outbox.newest()]
    await second.stop()

    assert kept == ["d", "c"]


async def test_a_stopped_sandbox_leaves_no_connection_open() -> None:
    """A sender that keeps its connection for reuse notices at once."""
    running = await serve_sandbox()
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=running.smtp_port, timeout=5) as client:
        await client.noop()
        await running.stop()
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await client.noop()


async def test_the_process_tells_its_address_and_ends_on_sigterm(tmp_path: Path) -> None:
    """`python -m worker.partner.sandbox`: the address file appears, whole, when calls are taken."""
    address_file = tmp_path / "run" / "address.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "worker.partner.sandbox", "--address-file", str(address_file)),
        *("--faults", '{"fail_code": 17}', "--rate", "5", "--demo-numbers"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    address = json.loads(address_file.read_text())
    async with aiohttp.ClientSession() as session:
        faults = await (await session.get(address["url"] + "/sandbox/faults")).json()
    process.send_signal(signal.SIGTERM)

    assert line.startswith("SANDBOX http://127.0.0.1:")
    assert {"url", "smtp_port", "client_id", "client_secret"} <= address.keys()
    assert faults["fail_code"] == 17
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_process_refuses_faults_it_does_not_know() -> None:
    """One clear line and exit 2."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "worker.partner.sandbox", "--faults", '{"explode": 1}'),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 2
    assert said.decode().strip() == "sandbox: --faults: no such fault: explode"
