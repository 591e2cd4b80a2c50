"""Structured logs: events with fields, and only fields on the list. Ids, never contents (I6).

A field that is not on the list is dropped and its name is reported, so that a slip shows in the log without leaking.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog

FIELDS = frozenset(
    {
        "channel",
        "count",
        "delay_s",
        "effect",
        "error",
        "error_code",
        "event",
        "frames",
        "gateway",
        "import_id",
        "in_flight",
        "job",
        "key_id",
        "kind",
        "language",
        "level",
        "line",
        "message_id",
        "method",
        "misses_today",
        "outcome",
        "path_template",
        "pause_s",
        "port",
        "provider_id",
        "reason",
        "state",
        "status",
        "timestamp",
        "token_known",
        "voucher_id",
        "what",
    }
)


def exception_fields(error: BaseException) -> dict[str, object]:
    """What a log may tell of an unexpected exception: its type and where, not its message, which may quote values."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return {
        "error": type(error).__name__,
        "frames": [f"{frame.filename.rpartition('/service/')[2]}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _only_listed_fields(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    unlisted = sorted(name for name in event if name not in FIELDS)
    for name in unlisted:
        del event[name]
    if unlisted:
        event["what"] = f"fields not on the list: {', '.join(unlisted)}"
    return event


class _StandardLibraryHandler(logging.Handler):
    """Libraries log through `logging`; only logger, level and place are kept: their texts quote what they please."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"what": record.name, "line": record.lineno}
        # What a stranger sends that is no HTTP at all is the stranger's fault: nobody need get up for it.
        level = logging.INFO if record.name == "aiohttp.server" else record.levelno
        if record.exc_info and record.exc_info[1] is not None:
            fields |= exception_fields(record.exc_info[1])
        structlog.get_logger().log(level, "library_message", **fields)


def configure_logs(*, level: str, form: str) -> None:
    """Send every log line of the process to standard error, as JSON lines or for reading on a terminal."""
    numeric = logging.getLevelNamesMapping()[level.upper()]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(default=str)
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_listed_fields,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(numeric, logging.WARNING), handlers=[_StandardLibraryHandler()], force=True)
    logging.captureWarnings(capture=True)
