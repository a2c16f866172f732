"""`python -m app.relaying`: the relay, with the settings in force and nothing of the features."""

from __future__ import annotations

import sys

from app.config import SettingError, Settings
from app.embedded import layout
from core import logging
from workers import relay


def main() -> int:
    """Relay until told to stop; the exit status."""
    try:
        settings = Settings.load()
    except SettingError as error:
        sys.stderr.write(f"Riverain cannot run: {error}\n")
        return 1
    logging.configure(settings.log_level)
    redis_url = settings.redis_url or layout.redis_url(settings.data_dir)
    relay.run(
        settings.database_url or layout.database_url(settings.data_dir),
        layout.broker_url(redis_url),
        redis_url,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
