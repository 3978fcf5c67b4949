"""Logs and counters. A log line is an event name plus fields; nothing personal gets through.

Counters are kept in the process and flushed to the ledger by the worker's beat, so that `/metrics` shows the whole
fleet, over processes and machines, and a restart loses at most a second of them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from worker.domain.phone import mask_text

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

#: Fields that hold our own words and ids. All other text is masked: an allow-list, so that a new field can't leak.
SAFE_FIELDS = frozenset(
    {
        "actor", "at", "batch_id", "channel", "delivery_id", "duty", "error", "event", "event_id", "invitation_id", "job_id", "kind",
        "lane", "level", "logger", "name", "outcome", "path", "pid", "process", "reason", "reason_class", "signal", "source",
        "state", "stage", "status", "target", "timestamp", "url_host", "version", "worker_id",
    }
)  # fmt: skip


def mask_personal(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask numbers, addresses and links in every field that is not one of our own words."""
    for field, value in event.items():
        if field not in SAFE_FIELDS and not field.startswith("_"):  # `_record` and such: structlog's own
            event[field] = _masked(value)
    return event


def mask_foreign(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what a library says, too: its sentences quote arguments and addresses."""
    event["event"] = mask_text(str(event.get("event", "")))
    return event


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {_masked(name): _masked(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(each) for each in value]
    return value if isinstance(value, bool | int | float | None) else mask_text(str(value))


def configure_logging(log_format: str, *, level: int = logging.INFO, stream: Any = None) -> None:
    """Send our and the libraries' logs to *stream* (standard error), as `console` or `json` lines."""
    stream = stream or sys.stderr
    _structlog.wanted = _Wanted(log_format, level, has_colors=stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Dramatiq tells at INFO of every queue it declares, aiohttp of every request (with its path): not the operator's news.
    for noisy in ("dramatiq", "aiohttp.access", "asyncio", "mail.log"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Wanted(NamedTuple):
    """How lines are to look, until structlog is set up for it."""

    log_format: str
    level: int
    has_colors: bool


class _Structlog:
    """structlog, loaded and set up by the first line: most commands write none, and it takes a tenth of their start."""

    def __init__(self) -> None:
        self.wanted: _Wanted | None = None  #: None: nothing is to be set up (any more)
        self._formatter = logging.Formatter()
        self._turn = threading.RLock()  # a line of another thread waits: it would go out unmasked

    def __getattr__(self, level: str) -> Any:
        self._set_up()
        import structlog

        return getattr(structlog.get_logger(), level)

    def formatter(self) -> logging.Formatter:
        """Return what makes a line of a record, ours or a library's."""
        self._set_up()
        return self._formatter

    def _set_up(self) -> None:
        with self._turn:
            if self.wanted is not None:
                self._set_up_as(self.wanted)
                self.wanted = None

    def _set_up_as(self, wanted: _Wanted) -> None:
        import structlog

        shared: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_personal,
        ]
        renderer: Any = (
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if wanted.log_format == "json"
            else structlog.dev.ConsoleRenderer(colors=wanted.has_colors)
        )
        self._formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, mask_foreign],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
        structlog.configure(
            processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.make_filtering_bound_logger(wanted.level),
            cache_logger_on_first_use=False,
        )


class _Formatter(logging.Formatter):
    """Leaves each line to structlog."""

    def format(self, record: logging.LogRecord) -> str:
        return _structlog.formatter().format(record)


_structlog = _Structlog()
#: Our logger, for all modules: `log.info("what_happened", job_id=…)`.
log = cast("FilteringBoundLogger", _structlog)


class StatsSink(Protocol):
    """Where counters are flushed to: the ledger's fleet record."""

    async def add_stats(self, counts: Mapping[str, float]) -> None:
        """Add each count to the counter of that name."""
        ...


class Stats:
    """Counters of this process since the last flush. Safe to count from any coroutine of one loop."""

    def __init__(self) -> None:
        self._counts: dict[str, float] = defaultdict(float)

    def count(self, name: str, amount: float = 1.0, /, **labels: str | None) -> None:
        """Add *amount* to the counter *name* with these labels (never personal data: they are metrics)."""
        self._counts[stat_key(name, {label: value for label, value in labels.items() if value})] += amount

    async def flush(self, sink: StatsSink) -> None:
        """Hand the counts to *sink*; they are kept for the next time when it fails."""
        counts, self._counts = self._counts, defaultdict(float)
        if not counts:
            return
        try:
            await sink.add_stats(counts)
        except BaseException:
            for key, amount in counts.items():
                self._counts[key] += amount
            raise


def stat_key(name: str, labels: Mapping[str, str]) -> str:
    """Return the key of one counter: `name|label=value|…`, labels in order of their names."""
    return "|".join([name, *(f"{label}={labels[label]}" for label in sorted(labels))])


def parse_stat_key(key: str) -> tuple[str, dict[str, str]]:
    """Return what `stat_key` put together."""
    name, *pairs = key.split("|")
    return name, dict(pair.split("=", 1) for pair in pairs)


class LoopLag:
    """How late the event loop runs what is due: the first sign of one blocking call stalling everything."""

    def __init__(self, *, interval_s: float = 0.5, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._monotonic = monotonic
        self.worst_s = 0.0  #: since the last `take`

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            began = self._monotonic()
            await asyncio.sleep(self._interval_s)
            self.worst_s = max(self.worst_s, self._monotonic() - began - self._interval_s)

    def take(self) -> float:
        """Return the worst lag in seconds since the last call, and begin anew."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst
