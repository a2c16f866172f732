"""Serves a Riverain in a process of its own, for a test in which another one hands it reports.

    python -m tests.open311.second_riverain DATA_DIR DATABASE_URL REDIS_URL SECRET_KEY

Prints its port, and ends when its standard input does. For each line on it the pipeline works off
what waits, and a line says when that is done.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from app import create_app
from app.config import Settings
from workers import pipeline


class Quiet(WSGIRequestHandler):
    """Keep-alive, and no line for each request."""

    protocol_version = "HTTP/1.1"

    def log(self, *_args: object, **_kwargs: object) -> None:
        """The application logs."""


def main(data_dir: str, database_url: str, redis_url: str, secret_key: str) -> None:
    """Serve until nobody wants it any more."""
    app = create_app(
        Settings(
            data_dir=Path(data_dir),
            database_url=database_url,
            redis_url=redis_url,
            secret_key=secret_key,
            demo=False,
            rate_limits=False,
            outgoing_allow="127.0.0.1",
        )
    )
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    for _ in sys.stdin:
        with app.app_context():
            pipeline.drain()
        print("done", flush=True)
    server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:5])
