"""The SMS providers' ways into the outbox: the form of 99digital and that of Twilio."""

from __future__ import annotations

import base64
import binascii
import random
import re
import secrets
import time
from collections.abc import Iterator
from email.utils import formatdate

from aiohttp import web

from worker.partner.sandbox.door import dropped
from worker.partner.sandbox.outbox import Outbox
from worker.partner.sandbox.settings import Faults, SandboxSettings

# 99digital's reasons, as documented.
_SENDER_LENGTH, _TEXT_TOO_LONG, _WRONG_KEY, _NO_RECIPIENT, _NO_TEXT, _NO_SENDER = 2, 4, 6, 7, 8, 9
_MOST_CHARACTERS = 1_600
_LOCAL_NUMBERS = re.compile(r"0\d{8,9}(,0\d{8,9})*")
_E164 = re.compile(r"\+[1-9]\d{6,14}")


class SmsCatcher:
    """Answers as the SMS providers do; every message ends in the outbox."""

    def __init__(self, settings: SandboxSettings, outbox: Outbox, faults: Faults) -> None:
        self._settings = settings
        self._outbox = outbox
        self._faults = faults
        self._chance = random.Random(settings.seed)  # noqa: S311 - chance for tests, not for secrets

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield both providers' routes."""
        for prefix in ("", "/api"):
            yield web.post(f"{prefix}/sms/sendMessage", self._digital99)
        yield web.post("/2010-04-01/Accounts/{account}/Messages.json", self._twilio)

    async def _digital99(self, request: web.Request) -> web.Response:
        form = await request.post()
        sender, to, text = (str(form.get(name, "")) for name in ("from", "to", "text"))
        if self._chance.random() < self._faults.sms_drop_before:
            return dropped(request)
        reason = self._faults.sms_fail_code or self._digital99_reason(
            str(form.get("apiKey", "")), sender, to, text
        )
        if reason != 1:
            return web.json_response({"status": "FAIL", "reason": reason})
        is_answer_lost = self._chance.random() < self._faults.sms_drop_after
        note = "answer lost" if is_answer_lost else ""
        for number in to.split(","):
            self._outbox.add_sms(sender, number, text, headers={"provider": "99digital"}, note=note)
        if is_answer_lost:
            return dropped(request)
        answer = {"status": "OK", "unique": secrets.token_hex(8), "text": text, "from": sender}
        return web.json_response({**answer, "timestamp": int(time.time()), "reason": 1})

    def _digital99_reason(self, key: str, sender: str, to: str, text: str) -> int:
        checks = (
            (self._settings.sms_api_key not in {None, key} or not key, _WRONG_KEY),
            (not sender, _NO_SENDER),
            (len(sender) > 11 and not sender.isdigit(), _SENDER_LENGTH),
            (not _LOCAL_NUMBERS.fullmatch(to), _NO_RECIPIENT),
            (not text, _NO_TEXT),
            (len(text) > _MOST_CHARACTERS, _TEXT_TOO_LONG),
        )
        return next((reason for is_wrong, reason in checks if is_wrong), 1)

    async def _twilio(self, request: web.Request) -> web.Response:
        account = request.match_info["account"]
        if not self._is_login_right(request, account):
            return _twilio_error(401, 20003, "Authenticate")
        form = await request.post()
        sender = str(form.get("From") or form.get("MessagingServiceSid") or "")
        to, text = str(form.get("To", "")), str(form.get("Body", ""))
        if self._chance.random() < self._faults.sms_drop_before:
            return dropped(request)
        if (code := self._faults.sms_fail_code or _twilio_code(sender, to, text)) is not None:
            return _twilio_error(400, code, "Refused by the sandbox")
        is_answer_lost = self._chance.random() < self._faults.sms_drop_after
        self._outbox.add_sms(
            sender, to, text, headers={"provider": "twilio"}, note="answer lost" if is_answer_lost else ""
        )
        if is_answer_lost:
            return dropped(request)
        return web.json_response(
            {
                "sid": f"SM{secrets.token_hex(16)}",
                "account_sid": account,
                "status": "queued",
                "from": sender,
                "to": to,
                "body": text,
                "error_code": None,
                "date_created": formatdate(usegmt=True),
            },
            status=201,
        )

    def _is_login_right(self, request: web.Request, account: str) -> bool:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        is_known = bool(password) and self._settings.twilio_token in {None, password}
        return scheme.lower() == "basic" and bool(user) and bool(account) and is_known


def _twilio_code(sender: str, to: str, text: str) -> int | None:
    if not sender:
        return 21603
    if not _E164.fullmatch(to):
        return 21211
    if not text:
        return 21602
    return 21617 if len(text) > _MOST_CHARACTERS else None


def _twilio_error(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "status": status}, status=status)
