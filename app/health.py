"""Is it alive, is it ready: `/healthz` and `/readyz`.

`/readyz?part=web` asks only for what intake needs (database and migrations), because a report is
taken while Redis and the workers are away.
"""

from __future__ import annotations

import time
from typing import Any

import redis
import sqlalchemy as sa
from flask import Flask, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from accounts.access import EVERYONE, allow
from app import revisions
from core.db import db
from workers.queues import QUEUES

#: Key that each worker process renews; see workers.heartbeat.
HEARTBEAT_KEY = "riverain:heartbeat"

#: A worker that was silent for so long is taken for dead.
HEARTBEAT_MAX_AGE_S = 30


def install(app: Flask) -> None:
    """Add the two routes."""
    app.add_url_rule("/healthz", "healthz", allow(EVERYONE)(healthz))
    app.add_url_rule("/readyz", "readyz", allow(EVERYONE)(readyz))


def healthz() -> ResponseReturnValue:
    """200 while the process lives."""
    return jsonify(status="alive")


def readyz() -> ResponseReturnValue:
    """200 when every part is there, 503 with the list of parts otherwise."""
    parts = {"database": _database(), "migrations": False}
    parts["migrations"] = parts["database"] and _migrations()
    if request.args.get("part") != "web":
        client = redis.Redis.from_url(
            current_app.config["REDIS_URL"], socket_connect_timeout=1, socket_timeout=1
        )
        with client:
            parts["broker"] = _broker(client)
            parts["workers"] = parts["broker"] and _workers(client)
    ready = all(parts.values())
    response: Response = jsonify(
        status="ready" if ready else "not ready",
        parts={name: "ok" if is_ok else "missing" for name, is_ok in parts.items()},
    )
    response.status_code = 200 if ready else 503
    return response


def _database() -> bool:
    try:
        db.session.execute(sa.text("SELECT 1"))
    except sa.exc.SQLAlchemyError:
        return False
    finally:
        db.session.rollback()
    return True


def _migrations() -> bool:
    try:
        found = set(db.session.scalars(sa.text("SELECT version_num FROM alembic_version")))
    except sa.exc.SQLAlchemyError:
        return False
    finally:
        db.session.rollback()
    return found == set(_expected_revisions())


def _expected_revisions() -> list[str]:
    heads: list[str] | None = current_app.extensions.get("alembic_heads")
    if heads is None:
        heads = list(revisions.of(revisions.FOLDER)[1])
        current_app.extensions["alembic_heads"] = heads
    return heads


def _broker(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _workers(client: redis.Redis) -> bool:
    try:
        beats: Any = client.hgetall(HEARTBEAT_KEY)
    except redis.RedisError:
        return False
    alive_since = time.time() - HEARTBEAT_MAX_AGE_S
    served: set[str] = set()
    for name, moment in beats.items():
        if float(moment) > alive_since:
            served.update(name.decode().partition(" ")[2].split(","))
    # A queue that nobody takes from is as good as no worker: nothing would be routed, or told.
    return served.issuperset(QUEUES)
