"""JSON logs: a static event name and fields, bound once per request or task.

Never personal data: ids, codes and numbers only. The request id travels from the request into
the outbox and from there into the tasks' logs.
"""

from __future__ import annotations

import atexit
import io
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

#: One list for the life of the process: loggers that are in use already keep hold of it, so that a
#: second application made here, and whoever listens in, changes what they do too.
_PROCESSORS: list[structlog.types.Processor] = []


#: Lines that are gathered are written at most so much later, seconds.
GATHERED_FOR_S = 0.2


class Gathered(io.TextIOBase):
    """A stream that writes what came in within a fifth of a second at once.

    A process that answers hundreds of requests a second would else write, and whoever reads its
    logs wake up, for every line. Only a process that is killed outright loses its last lines.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque()
        self._has_lines = threading.Event()
        # A daemon never keeps a process alive; what is left at its end is written then.
        threading.Thread(target=self._write_now_and_then, name="logs", daemon=True).start()
        atexit.register(self._write)

    def write(self, text: str) -> int:
        """Take a line, or lines, whole."""
        self._lines.append(text)
        if not self._has_lines.is_set():
            self._has_lines.set()
        return len(text)

    def flush(self) -> None:
        """Nothing: loggers ask for it after every line."""

    def _write_now_and_then(self) -> None:
        while self._has_lines.wait():
            time.sleep(GATHERED_FOR_S)
            self._write()

    def _write(self) -> None:
        self._has_lines.clear()
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        self._stream.write("".join(lines))
        self._stream.flush()


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process to stderr as one JSON object, those of libraries too.

    Args:
        stream: where else to send them.
    """
    stream = stream or sys.stderr
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
        logger_factory=structlog.WriteLoggerFactory(file=stream),
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
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Celery's pool tells of its dead children there, and hands nothing on to the root.
    logging.getLogger("multiprocessing").handlers[:] = [handler]
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
