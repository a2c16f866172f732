"""The floor: what one Flask handler with one INSERT can do on this machine, under gunicorn.

    FLOOR_DATABASE_URL=… gunicorn bench.floor:app

Nothing is checked, logged or counted here. Riverain's intake is measured as a share of it.
"""

from __future__ import annotations

import json
import os

from flask import Flask, request
from psycopg_pool import ConnectionPool

app = Flask(__name__)
pool = ConnectionPool(os.environ["FLOOR_DATABASE_URL"], min_size=4, max_size=4, open=False)


@app.post("/floor")
def floor() -> tuple[dict[str, int], int]:
    """Store the body as it came."""
    if pool.closed:
        pool.open()
    body = request.get_json()
    with pool.connection() as connection:
        row = connection.execute(
            "INSERT INTO floor (body, lat, lon) VALUES (%s, %s, %s) RETURNING id",
            (json.dumps(body), body["lat"], body["lon"]),
        ).fetchone()
    assert row is not None
    return {"id": row[0]}, 201
