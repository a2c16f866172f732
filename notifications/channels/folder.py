"""Writes each message to a folder, one file each: development, demo and tests.

Exactly once: a file bears its delivery's id and is linked into the folder under that name only if
none is there. Never partial: it is written beside the folder and linked when whole. It forgets no
message when this process is killed, but does not wait for the disk: nobody's mail lies here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from datetime import datetime
from pathlib import Path

from notifications.messages import Message, Result, Sent

_unfinished = itertools.count()


class FolderCarrier:
    """A mailbox of plain text files that people and tests can read."""

    reads_html = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Beside the folder, hence on the same file system, and so that whoever counts files there
        # counts messages.
        self._desk = folder.with_name(f".{folder.name}-unfinished")
        self._is_ready = False

    def send(self, message: Message, now: datetime) -> Result:
        """Write the file, unless it is there. A full disk raises: that is ours to repair."""
        if not self._is_ready:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._desk.mkdir(exist_ok=True)
            self._is_ready = True
        path = self._folder / f"{message.delivery_id}.txt"
        draft = self._desk / f"{os.getpid()}-{next(_unfinished)}-{message.delivery_id}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            try:
                whole = as_text(message, now).encode()
                while whole:
                    whole = whole[os.write(descriptor, whole) :]
            finally:
                os.close(descriptor)
            # If it is there, an earlier attempt was killed before it could say so.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        return Sent(provider_id="folder")

    def close(self) -> None:
        """Nothing is held between messages."""


def as_text(message: Message, now: datetime) -> str:
    """The message as a person reads it: headers like those of a letter, an empty line, the text."""
    headers = [
        ("To", message.to),
        ("Channel", message.channel.value),
        ("Subject", message.subject),
        ("Locale", message.locale),
        ("Delivery", str(message.delivery_id)),
        ("Date", now.isoformat(timespec="seconds")),
    ]
    if message.from_name:
        headers.append(("From", message.from_name))
    if message.thread:
        headers.append(("Thread", message.thread))
    if message.unsubscribe_url:
        headers.append(("List-Unsubscribe", message.unsubscribe_url))
    if message.link:
        headers.append(("Link", message.link))
    lines = [f"{name}: {' '.join(value.split())}" for name, value in headers]
    return "\n".join(lines) + "\n\n" + message.body.rstrip("\n") + "\n"
