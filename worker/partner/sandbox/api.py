"""The partner API itself, as its documentation tells it. Each act returns its answer's fields or raises FailError."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from worker.partner.sandbox import rules
from worker.partner.sandbox.door import Door, FailError
from worker.partner.sandbox.state import Link

COEXISTENCE = "1"
#: The API stands under the provider's own prefix and, for those who leave it out, at the root.
PREFIXES = ("/api", "")
_LANDING_FIELDS = ("business_name", "business_address", "business_id")
_MOST_CODE_REQUESTS = 3  #: documented: then the number is blocked for an hour
_BLOCKED_S = 3_600.0


class PartnerApi:
    """Every call of the partner's that is documented."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._settings = door.settings
        self._state = door.state
        self._asked_codes: Counter[str] = Counter()
        self._blocked_until: dict[str, float] = {}
        self.public_url = ""  #: known once the port is

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield a route per call; a known path called by the wrong method is answered with its own FAIL."""
        for prefix in PREFIXES:
            for method, path, call, act, is_open in self._calls():
                handle = self._door.handler(call, act, is_open=is_open)
                yield web.route(method, prefix + path, handle)
            for _, path, *_ in self._calls():
                yield web.route("*", prefix + path, self._door.handler("wrong_method", self._wrong_method))

    def _calls(self) -> list[tuple[str, str, str, Any, bool]]:
        return [
            ("POST", "/settings/accessToken", "access_token", self._access_token, True),
            ("POST", self._settings.create_path, "create_whatsapp", self._create_whatsapp, False),
            ("POST", "/facebook/createOnboarding", "create_facebook", self._create_facebook, False),
            ("GET", "/whatsapp/getAccounts", "get_accounts", self._get_accounts, False),
            ("DELETE", "/whatsapp/deleteAccount", "delete_account", self._delete_account, False),
            ("GET", "/whatsapp/getRegisteredNumbers", "get_registered", self._get_registered, False),
            ("POST", "/whatsapp/registerNumber", "register_number", self._register_number, False),
            ("POST", "/settings/setWebhook", "set_webhook", self._set_webhook, False),
            ("GET", "/settings/getWebhook", "get_webhook", self._get_webhook, False),
            ("PATCH", "/settings/setBusiness", "set_business", self._set_business, False),
        ]

    def _fail(self, rule: str) -> FailError:
        return FailError(self._settings.code(rule))

    def _wrong_method(self, _request: web.Request, _body: dict[str, Any]) -> dict[str, Any]:
        raise self._fail("method")

    # --- the token ---

    def _access_token(self, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        self._state.token_calls += 1
        address, settings, tokens = request.remote or "", self._settings, self._door.tokens
        if tokens.is_locked(address):
            raise FailError(3)
        pair = (body.get("client_id"), body.get("client_secret"))
        if self._door.faults.refuse_credentials or pair != (settings.client_id, settings.client_secret):
            tokens.count_wrong(address, most=settings.wrong_tries, lock_s=settings.lock_out_s)
            raise self._fail("wrong_credentials")
        tokens.forgive(address)
        life_s = self._door.faults.token_life_s or settings.token_life_s
        value = secrets.token_urlsafe(24)
        tokens.issue(value, life_s)
        end = str(int(time.time() + life_s))
        return {"access_token": value, "expiration_time": end, "token_type": "Bearer"}

    # --- links ---

    def _create_whatsapp(self, _request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        if (broken := rules.check_whatsapp(body)) is not None:
            raise self._fail(broken)
        number = str(body["whatsapp"])
        is_coexistence = number == COEXISTENCE
        if is_coexistence:
            number = self._state.new_temporary_number()
        else:
            self._check_free(number)
        link = self._make("whatsapp", body, "o")
        link.number, link.is_coexistence = number, is_coexistence
        if all(body.get(name) for name in _LANDING_FIELDS):
            link.landing_page = f"{self.public_url}/l/{link.code}"
        self._state.add_link(link)
        return {
            "whatsapp": number,
            "onboarding_link": link.url,
            "landing_page": link.landing_page or "",
        }

    def _check_free(self, number: str) -> None:
        self.settle_number(number)
        tally = self._state.tally(number)
        tally.creates += 1
        standing = self._state.live_link(number)
        if standing is not None:
            tally.refused_second += 1
            if self._settings.is_one_link_per_number:
                raise self._fail("finished" if standing.finished_at else "link_exists")
        if not self.is_registered(number):
            raise self._fail("not_registered")

    def settle_number(self, number: str) -> None:
        """Give *number* the past that its ending asks for, once."""
        if number in self._state.by_number:
            return
        is_finished = _ends(number, self._settings.finished_suffixes)
        if is_finished or _ends(number, self._settings.foreign_suffixes):
            self.plant(number, reference="someone-else", is_finished=is_finished)

    def plant(self, number: str, *, reference: str | None, is_finished: bool = False) -> Link:
        """Make a link that nobody asked for here: an older one, or one made in the provider's own console."""
        link = self._make("whatsapp", {"reference": reference, "business_name": "Someone Else"}, "o")
        link.number = number
        self._state.add_link(link)
        if is_finished:
            self._state.finish(link)
        return link

    def is_registered(self, number: str) -> bool:
        """Tell whether *number* is registered: said so, or not said otherwise by the settings."""
        if number in self._state.registered:
            return True
        if number in self._state.unregistered or number in self._settings.unregistered:
            return False
        return not _ends(number, self._settings.unregistered_suffixes)

    def _create_facebook(self, _request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        if (broken := rules.check_facebook(body)) is not None:
            raise self._fail(broken)
        link = self._make("facebook", body, "f")
        link.type = body["type"]
        self._state.add_link(link)
        return {"param": link.code, "onboarding_link": link.url, "type": link.type}

    def _make(self, kind: str, body: dict[str, Any], folder: str) -> Link:
        code = self._state.new_code()
        reference = body.get("reference")
        return Link(
            code=code,
            kind=kind,
            url=f"{self.public_url}/{folder}/{code}",
            reference=None if reference is None else str(reference),
            created_at=time.time(),
            sent=dict(body),
        )

    def _delete_account(self, _request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        number = str(body.get("whatsapp") or "")
        if not number.isdigit():
            raise self._fail("number")
        link = self._state.live_link(number)
        if link is None:
            raise self._fail("not_found")
        if link.finished_at is not None:
            raise self._fail("finished")
        self._state.delete(link)
        return {}

    # --- lists ---

    def _get_accounts(self, _request: web.Request, _body: dict[str, Any]) -> dict[str, Any]:
        self._check_list_fault()
        seen_until = time.time() - self._door.faults.list_lag_s
        rows: list[Any] = [
            _row(link, finished_until=time.time() - self._door.faults.finish_lag_s)
            for link in self._state.links.values()
            if link.kind == "whatsapp" and link.is_live and link.created_at <= seen_until
        ]
        return {"list": self._perhaps_broken(rows)}

    def _get_registered(self, _request: web.Request, _body: dict[str, Any]) -> dict[str, Any]:
        self._check_list_fault()
        known = dict.fromkeys(self._state.registered)
        # Any number is registered unless said otherwise; those that were asked about are the ones it matters for.
        known.update(dict.fromkeys(number for number in self._state.asked if self.is_registered(number)))
        known.update(dict.fromkeys(number for number in self._state.by_number if self._waits(number)))
        rows = [self._registered_row(number) for number in known if not self._is_connected(number)]
        return {"list": self._perhaps_broken(list(rows[: self._settings.registered_most]))}

    def _check_list_fault(self) -> None:
        if self._door.chance.random() < self._door.faults.list_error:
            raise web.HTTPInternalServerError(text="<h1>Internal Server Error</h1>", content_type="text/html")

    def _perhaps_broken(self, rows: list[Any]) -> list[Any]:
        if self._door.chance.random() < self._door.faults.list_broken:
            rows.insert(len(rows) // 2, {"whatsapp": None})
        return rows

    def _waits(self, number: str) -> bool:
        link = self._state.live_link(number)
        return link is not None and link.finished_at is None and not link.is_coexistence

    def _is_connected(self, number: str) -> bool:
        link = self._state.live_link(number)
        return link is not None and link.finished_at is not None

    def _registered_row(self, number: str) -> dict[str, Any]:
        link = self._state.live_link(number)
        ends_at = self._state.registered.get(number, time.time() + 90 * 86_400)
        return {
            "whatsapp": number,
            "expiration": int(ends_at),
            "onboarding_link": link.url if link else None,
            "comment": "",
        }

    # --- registration and settings ---

    def _register_number(self, _request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        number = str(body.get("whatsapp") or "")
        if not (number.isdigit() and 8 <= len(number) <= 15):
            raise self._fail("number")
        if self._blocked_until.get(number, 0.0) > time.monotonic():
            raise self._fail("blocked")
        if body.get("code"):
            return self._verify(number, str(body["code"]))
        if body.get("method") not in {1, 2, "1", "2"}:
            raise self._fail("verification")
        self._asked_codes[number] += 1
        if self._asked_codes[number] > _MOST_CODE_REQUESTS:
            self._asked_codes[number] = 0
            self._blocked_until[number] = time.monotonic() + _BLOCKED_S
            raise self._fail("blocked")
        return {"whatsapp": number}

    def _verify(self, number: str, code: str) -> dict[str, Any]:
        if not self._asked_codes[number] or code != self._settings.verification_code:
            raise self._fail("verification")
        self._asked_codes[number] = 0
        self._state.register(number)
        return {"whatsapp": number}

    def _set_webhook(self, _request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        url = body.get("url")
        if not isinstance(url, str) or len(url) > 512 or not url.startswith(("http://", "https://")):
            raise self._fail("method")  # documented: 13 means an invalid url here
        self._state.set_webhook(url)
        return {"url": url}

    def _get_webhook(self, _request: web.Request, _body: dict[str, Any]) -> dict[str, Any]:
        return {"url": self._state.announced_to or ""}

    def _set_business(self, _request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        if (broken := rules.check_business(body)) is not None:
            raise self._fail(broken)
        self._state.business.update({name: str(value) for name, value in body.items()})
        return {}


def _ends(number: str, suffixes: tuple[str, ...]) -> bool:
    return bool(suffixes) and number.endswith(suffixes)


def _row(link: Link, *, finished_until: float) -> dict[str, Any]:
    sent = link.sent
    told = ("business_name", "business_email", "business_id", "business_address", "display_name")
    return {
        "create_time": int(link.created_at),
        "whatsapp": link.number,
        "coexistence": int(link.is_coexistence),
        **{name: str(sent.get(name) or "") for name in told},
        "landing_page": link.landing_page or "",
        "onboarding_link": link.url,
        "reference": link.reference or "",
        "status": int(link.finished_at is not None and link.finished_at <= finished_until),
    }
