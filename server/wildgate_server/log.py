"""The log, on standard error: each event is one line of bounded length, whatever callers send."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from time import monotonic

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict

__all__ = ["TracebackLimit", "bounded", "configure_log"]

_MOST_TRACEBACKS = 5  # of one kind of event, in
_PERIOD_S = 60.0
_LONGEST_VALUE = 500
_LONGEST_TRACEBACK = 20_000
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")  # a new line is escaped when the line is written


def configure_log(level: str) -> None:
    """Has events of this level and above written; of what libraries log (asyncio, grpc), warnings and errors."""
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        TracebackLimit(),
        structlog.processors.format_exc_info,
        bounded,
    ]
    renderer = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    structlog.configure(
        processors=[*chain, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(foreign_pre_chain=chain, processors=[ProcessorFormatter.remove_processors_meta, renderer])
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class TracebackLimit:
    """A processor that keeps five tracebacks a minute of each kind of event; of other errors, type and message.

    The kind is the event's name, or the library's logger: callers cannot make more of them.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, int]] = {}  # when the period of a kind began, and how many it has had

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """The event, without its traceback where there have been enough."""
        if not (error := _error_of(event.get("exc_info"))):
            return event
        record = event.get("_record")
        kind = record.name if record else str(event.get("event"))
        now = self._clock()
        began, kept = self._kept.get(kind, (now, 0))
        if now - began >= _PERIOD_S:
            began, kept = now, 0
        self._kept[kind] = began, kept + 1
        if kept >= _MOST_TRACEBACKS:
            del event["exc_info"]
            event.setdefault("error", f"{type(error).__name__}: {error}")
        return event


def bounded(logger: object, method: str, event: EventDict) -> EventDict:
    """A processor that cuts long values, and replaces control characters in them."""
    for key, value in event.items():
        if isinstance(value, int | float | None) or key.startswith("_"):
            continue
        text, most = str(value), _LONGEST_TRACEBACK if key == "exception" else _LONGEST_VALUE
        if len(text) > most:
            text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
        event[key] = _CONTROL.sub("?", text)
    return event


def _error_of(exc_info: object) -> BaseException | None:
    """The error that an event is logged with: by itself, as a tuple, or (True) the one that is being handled."""
    if isinstance(exc_info, BaseException):
        return exc_info
    return (exc_info if isinstance(exc_info, tuple) else sys.exc_info())[1] if exc_info else None
