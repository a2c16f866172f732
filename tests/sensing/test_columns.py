"""Columns of numpy in PostgreSQL: what goes there is what stands there."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays
from sqlalchemy.orm import Session

from sensing import columns
from sensing.columns import Column

NAMES = {"int8": "smallint", "int16": "smallint", "int32": "integer", "int64": "bigint"}


@pytest.fixture
def driver(session: Session) -> psycopg.Connection[tuple[object, ...]]:
    columns.register(session.connection())
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


@pytest.mark.parametrize("kind", [*NAMES, "float64"])
def test_every_number_arrives_as_it_left(
    driver: psycopg.Connection[tuple[object, ...]], kind: str
) -> None:
    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(arrays(kind, (5,)))
    def holds(column: Column) -> None:
        row = driver.execute(
            "SELECT %(sent)s, pg_typeof(%(sent)s)::text", {"sent": column}
        ).fetchone()
        assert row is not None
        np.testing.assert_array_equal(np.array(row[0], dtype=kind), column)
        assert row[1] == f"{NAMES.get(kind, 'double precision')}[]"

    holds()


def test_part_of_a_record_is_a_column_too(
    driver: psycopg.Connection[tuple[object, ...]],
) -> None:
    rows = np.array([(1, 2.5), (3, 4.5)], dtype=[("whole", "i4"), ("half", "f8")])
    row = driver.execute("SELECT %s, %s", (rows["whole"], rows["half"])).fetchone()
    assert row == ([1, 3], [2.5, 4.5])
