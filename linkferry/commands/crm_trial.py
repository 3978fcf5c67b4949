"""`linkferry crm test`: a body, tried and explained."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from linkferry import frame
from linkferry.frame import DONE, DONE_WITH_BAD_ROWS, USAGE, CommandError
from linkferry.output import emit, print_fields, say
from producers.crm.config import parse_rules, trial_crm
from producers.crm.model import Crm, UnreadableError
from producers.crm.trial import INVALID, NOT_FETCHED, REQUEST, SKIPPED, TO_FETCH, Tried, try_body
from worker.clock import SystemClock
from worker.domain.parse import ParseRules
from worker.settings import Settings, SettingsError

_HEADLINES = {
    REQUEST: "a request",
    INVALID: "no request: it would wait among the failed events for a person",
    SKIPPED: "skipped",
    TO_FETCH: "a worker would fetch first",
    NOT_FETCHED: "could not be fetched",
}


def run(name: str, sample: Path, *, map_file: Path | None, is_fetched: bool) -> int:
    """Try the body in *sample* and print what it would become; return the exit code."""
    settings = frame.settings()
    if is_fetched and settings.is_sandbox:
        raise CommandError(
            "--fetch asks the real CRM, and the sandbox calls nobody outside.", exit_code=USAGE
        )
    crm = _crm(settings, name, map_file)
    body = _read(sample)
    try:
        tried = asyncio.run(_try(crm, body, parse_rules(settings, name), is_fetched=is_fetched))
    except UnreadableError as error:
        raise CommandError(f"{sample}: {error}. {name} would be answered 400 or 401.") from None
    document = {"crm": name, **tried.document()}
    emit(document, lambda: _print(name, tried, document))
    is_bad = any(each.outcome in {INVALID, NOT_FETCHED} for each in tried.events)
    return DONE_WITH_BAD_ROWS if is_bad else DONE


async def _try(crm: Crm, body: bytes, rules: ParseRules, *, is_fetched: bool) -> Tried:
    try:
        return await try_body(crm, body, rules=rules, now=SystemClock().now(), is_fetched=is_fetched)
    finally:
        await crm.aclose()


def _crm(settings: Settings, name: str, map_file: Path | None) -> Crm:
    if map_file is None:
        return trial_crm(settings, name)
    try:
        text = map_file.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CommandError(f"--map {map_file}: {why}.", exit_code=USAGE) from None
    if not text.startswith("{"):
        raise CommandError(f"--map {map_file}: a field map is one JSON object.", exit_code=USAGE)
    try:
        return trial_crm(settings, name, map_text=text)
    except SettingsError as error:
        setting = f"LINKFERRY_CRM_{name.upper()}_MAP"
        raise CommandError(str(error).replace(setting, f"--map {map_file}"), exit_code=USAGE) from None


def _read(sample: Path) -> bytes:
    if str(sample) == "-":
        return sys.stdin.buffer.read()
    try:
        return sample.read_bytes()
    except OSError as error:
        raise CommandError(f"{sample}: {error.strerror}.", exit_code=USAGE) from None


# --- for people --------------------------------------------------------------------------------------------


def _print(name: str, tried: Tried, document: dict[str, Any]) -> None:
    for event in document["events"]:
        _print_event(event)
    for reason, count in document["skipped"].items():
        say(f"{count} acked and not recorded: {reason}")
    if not tried.events and not tried.skipped:
        say("It holds no event.")
    answer = document["answer"]
    say(f"{name} is answered {answer['status']} {answer['content_type']}: {answer['body']}")


def _print_event(event: dict[str, Any]) -> None:
    reason = f" ({event['reason']})" if event["reason"] else ""
    say(f"Event {event['key']}: {_HEADLINES[event['outcome']]}{reason}")
    if event["detail"]:
        say(f"  {event['detail']}")
    print_fields({each["field"]: f"{each['value']}   ({_from(each)})" for each in event["fields"]})
    for mark, found in (("!", event["problems"]), ("?", event["warnings"])):
        for each in found:
            origin = f" ({_from(each)})" if each["from"] else ""
            say(f"  {mark} {each['field']}{origin}: {each['detail']} -> {each['remedy']}")
    for product in event["products"]:
        say(f"  The partner is asked for {product['product']}:")
        print_fields({f"  {name}": value for name, value in product["partner"].items()})
    if event["contact"]:
        say("  The invitation goes to:")
        print_fields({f"  {name}": value for name, value in event["contact"].items()})
    say()


def _from(found: dict[str, Any]) -> str:
    """Return where a field came from, in words: a source, or what the map says instead of one."""
    origin = str(found["from"])
    return origin if " " in origin else f"from {origin}"
