"""What the command line says where nothing runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOBODY = "postgresql+psycopg://nobody@127.0.0.1:1/none"


@pytest.mark.parametrize(
    "arguments", [["outbox", "status"], ["sensing", "simulate", "--jurisdiction", "x"]]
)
def test_a_command_without_a_database_says_so_in_a_sentence(
    new_app: Any, tmp_path: Path, arguments: list[str]
) -> None:
    app = new_app(database_url=NOBODY, redis_url="redis://127.0.0.1:1/0", data_dir=tmp_path)
    told = app.test_cli_runner().invoke(args=arguments)
    assert told.exit_code == 1
    assert told.output == "Error: The database that DATABASE_URL names does not answer.\n"


def test_a_command_without_a_database_of_its_own_names_the_folder(
    new_app: Any, tmp_path: Path
) -> None:
    app = new_app(database_url=None, redis_url=None, data_dir=tmp_path)
    told = app.test_cli_runner().invoke(args=["outbox", "status"])
    assert told.exit_code == 1
    assert f"No database runs in DATA_DIR ({tmp_path})" in told.output
    assert "Traceback" not in told.output
