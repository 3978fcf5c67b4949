"""Nothing personal gets into a log line, whoever wrote it and in whatever shape."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from worker.telemetry import configure_logging, log

NUMBER, EMAIL, LINK = "972501234567", "dana.levi@example.com", "https://onboarding.direct/AbC123xyz"
SECRETS = (NUMBER, EMAIL, "AbC123xyz", "dana.levi")


def fail(error: Exception) -> None:
    raise error


@pytest.fixture(params=["json", "console"])
def stream(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Configure logging to a string, and put back what stood before."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    out = io.StringIO()
    configure_logging(request.param, stream=out)
    yield out
    root.handlers[:], root.level = before[0], before[1]
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "value",
    [
        f"{NUMBER} {EMAIL} {LINK}",
        [NUMBER, {"to": EMAIL, "link": LINK}],
        {NUMBER: (EMAIL, {LINK})},
        ValueError(f"no such customer: {EMAIL}, {NUMBER}, {LINK}"),
    ],
)
def test_a_field_that_is_not_our_own_word_is_masked_in_whatever_shape(
    stream: io.StringIO, value: object
) -> None:
    """Text, lists, mappings, exceptions: an allow-list, so that a new field can't leak."""
    log.info("something_happened", detail=value)

    assert "something_happened" in stream.getvalue()
    assert not [secret for secret in SECRETS if secret in stream.getvalue()]


def test_a_traceback_is_masked_and_shows_no_local_values(stream: io.StringIO) -> None:
    """The line that failed is told; the values it failed on are not."""
    try:
        fail(KeyError(f"{EMAIL} {NUMBER} {LINK}"))
    except KeyError:
        log.exception("duty_failed", duty="feed")

    assert "KeyError" in stream.getvalue()
    assert not [secret for secret in SECRETS if secret in stream.getvalue()]


def test_what_a_library_says_is_masked(stream: io.StringIO) -> None:
    """Dramatiq quotes the arguments of a message whose actor failed, asyncio the objects it found: both are masked."""
    library = logging.getLogger("dramatiq.worker.WorkerThread")
    try:
        fail(ValueError(LINK))
    except ValueError:
        library.exception("Failed to process message create_link(%r, %r).", NUMBER, EMAIL)

    assert "Failed to process message" in stream.getvalue()
    assert not [secret for secret in SECRETS if secret in stream.getvalue()]


def test_our_own_words_and_figures_stay_readable(stream: io.StringIO) -> None:
    """Ids, states, reasons and counts are what an operator searches for."""
    log.info(
        "attempt_finished",
        job_id="01m3250v020000000002w",
        state="linked",
        count=12345678,
        is_held=True,
        code=None,
    )

    if stream.getvalue().startswith("{"):
        line = json.loads(stream.getvalue())
        assert (line["job_id"], line["state"], line["count"], line["is_held"], line["code"]) == (
            "01m3250v020000000002w", "linked", 12345678, True, None,
        )  # fmt: skip
    else:
        assert "01m3250v020000000002w" in stream.getvalue()


def test_a_line_of_another_thread_waits_until_logging_is_set_up(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """structlog is set up by the first line; what is said meanwhile must not go out as it is."""
    set_up = structlog.configure
    other = threading.Thread(target=lambda: log.info("said_meanwhile", detail=NUMBER))

    def slowly(**wishes: Any) -> None:
        other.start()
        other.join(timeout=0.2)
        set_up(**wishes)

    monkeypatch.setattr(structlog, "configure", slowly)
    log.info("said_first", detail=EMAIL)
    other.join()

    everything = stream.getvalue() + "".join(capsys.readouterr())
    assert {"said_first", "said_meanwhile"} <= set(re.findall(r"said_\w+", everything))
    assert not [secret for secret in SECRETS if secret in everything]
