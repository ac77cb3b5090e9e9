"""Structured logs: one line per event, as JSON for machines or in colour for people.

Code logs through the standard library or structlog, as it likes; both come out the same way.
What is bound by `structlog.contextvars.bound_contextvars(request_id=…, task_id=…, worker=…)` is on
every line logged inside.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from types import TracebackType
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from settings import Settings

TALKATIVE = ("alembic.runtime.plugins", "urllib3")  # below warning they tell nothing of ours
WITH_OWN_HANDLERS = ("rq.worker", "rq_scheduler.scheduler")  # theirs would print lines twice

COMMON: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure(settings: Settings) -> None:
    """Send every log line of this process to standard output as the settings say."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter(settings.log_format))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    logging.captureWarnings(True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in WITH_OWN_HANDLERS:
        logging.getLogger(name).handlers = []
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    sys.excepthook = log_last_exception
    threading.excepthook = log_thread_exception


def formatter(log_format: str) -> logging.Formatter:
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        last += [structlog.processors.format_exc_info, message_first, json_line]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            pad_event_to=40,
            exception_formatter=structlog.dev.plain_traceback,  # the others print local variables
        )
        last += [console]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=COMMON, processors=last)


def message_first(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Name the fields as most collectors expect them."""
    return {
        "time": event.pop("timestamp"),
        "level": event.pop("level"),
        "message": event.pop("event"),
        **event,
    }


def json_line(logger: WrappedLogger, method: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate or a number beyond 64 bits
        return json.dumps(event, default=str, skipkeys=True)


def log_last_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The exception that ends the process is a log line like any other."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("process").critical("ended by an exception", exc_info=(kind, error, trace))


def log_thread_exception(ended: Any) -> None:
    if ended.exc_type is not SystemExit:
        logging.getLogger("process").critical(
            "a thread was ended by an exception",
            exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback),
        )
