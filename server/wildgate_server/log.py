"""The log, on standard error: each event is one line of bounded length, and lines of each kind are bounded by minute.

Callers, and the hosts behind their URIs, decide what goes wrong here and how often; how much is written must not be up
to them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from time import monotonic
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

__all__ = ["LineLimit", "LogFormat", "LogLevel", "TracebackLimit", "bounded", "configure_log", "set_level"]

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["logfmt", "json"]

_MOST_TRACEBACKS = 5  # of one kind of event, in
_MOST_LINES = 120  # of one kind of event, in
_PERIOD_S = 60.0
_LONGEST_VALUE = 500
_LONGEST_TRACEBACK = 20_000


_RENDERERS: dict[LogFormat, Processor] = {
    "logfmt": structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
    "json": structlog.processors.JSONRenderer(ensure_ascii=False),
}
_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
_least = logging.INFO


def configure_log(level: LogLevel, form: LogFormat = "logfmt") -> None:
    """Has events of this level and above written; of what libraries log (asyncio, grpc), warnings and errors."""
    set_level(level)
    structlog.configure(
        processors=[
            _severe_enough,
            LineLimit(),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            TracebackLimit(),
            structlog.processors.format_exc_info,
            bounded,
            _RENDERERS[form],
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()])


def set_level(level: LogLevel) -> None:
    """Has events of this level and above written from now on."""
    global _least
    _least = _LEVELS[level]


def _severe_enough(logger: object, method: str, event: EventDict) -> EventDict:
    """A processor that drops what is less severe than the level: loggers that are in use keep what they began with."""
    if _LEVELS.get(method, logging.ERROR) < _least:  # "exception" is one, too
        raise structlog.DropEvent
    return event


class _Libraries(logging.Handler):
    """Has what libraries log written as events of ours are."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


class _Counts:
    """Counts events by kind, in periods of a minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}  # when the period of a kind began, and how many it has had

    def count(self, kind: str) -> tuple[int, int]:
        """How many came before this one in its period, and how many in a period that it ends."""
        now = self._clock()
        began, before = self._counts.get(kind, (now, 0))
        ended = 0
        if now - began >= _PERIOD_S:
            began, before, ended = now, 0, before
        self._counts[kind] = began, before + 1
        return before, ended


class LineLimit:
    """A processor that drops what exceeds 120 lines a minute of one kind of event; the next line kept counts those.

    The kind is the event's name, or the library's logger: callers cannot make more of them.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._lines = _Counts(clock)

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """The event, with `left_out` where others were. Raises structlog.DropEvent."""
        before, ended = self._lines.count(_kind_of(event))
        if before >= _MOST_LINES:
            raise structlog.DropEvent
        if ended > _MOST_LINES:
            event["left_out"] = ended - _MOST_LINES
        return event


class TracebackLimit:
    """A processor that keeps five tracebacks a minute of each kind of event; of other errors, type and message."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._errors = _Counts(clock)

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """The event, without its traceback where there have been enough."""
        if not (error := _error_of(event.get("exc_info"))):
            return event
        before, _ = self._errors.count(_kind_of(event))
        if before >= _MOST_TRACEBACKS:
            del event["exc_info"]
            event.setdefault("error", f"{type(error).__name__}: {error}")
        return event


def bounded(logger: object, method: str, event: EventDict) -> EventDict:
    """A processor that cuts long values, and replaces what would not be seen in them.

    Control characters, and those that turn the direction of writing or have no width. A new line stays, and is escaped
    when the line is written.
    """
    for key, value in event.items():
        if isinstance(value, int | float | None):
            continue
        text, most = str(value), _LONGEST_TRACEBACK if key == "exception" else _LONGEST_VALUE
        if len(text) > most:
            text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
        event[key] = "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
    return event


def _kind_of(event: EventDict) -> str:
    return str(event.get("logger") or event.get("event"))


def _error_of(exc_info: object) -> BaseException | None:
    """The error that an event is logged with: by itself, as a tuple, or (True) the one that is being handled."""
    if isinstance(exc_info, BaseException):
        return exc_info
    return (exc_info if isinstance(exc_info, tuple) else sys.exc_info())[1] if exc_info else None
