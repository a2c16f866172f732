"""JSON logs: a static event name and fields, bound once per request or task.

Never personal data: ids, codes and numbers only. The request id travels from the request into
the outbox and from there into the tasks' logs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

#: One list for the life of the process: loggers that are in use already keep hold of it, so that a
#: second application made here, and whoever listens in, changes what they do too.
_PROCESSORS: list[structlog.types.Processor] = []


def configure(level: str = "INFO") -> None:
    """Send every log line of this process to stderr as one JSON object, those of libraries too."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    _PROCESSORS[:] = [
        *shared,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, _name_the_logger],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Each line of these would repeat what our own line about the same thing says.
    for noisy in (
        "kombu",
        "celery.worker.strategy",
        "celery.app.trace",
        "urllib3",
        "botocore",
        "alembic",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _name_the_logger(
    _logger: logging.Logger | None, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event
