"""Which revisions the migrations have, read from their text.

For those who only want to know whether a database is up to date: importing alembic takes as long
as everything else at a start, and twelve megabytes in every process.
"""

from __future__ import annotations

import re
from pathlib import Path

#: Where the migrations stand, wherever the process was started.
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

FOLDER = MIGRATIONS / "versions"


def of(folder: Path) -> tuple[set[str], set[str]]:
    """All revisions of the migrations in `folder`, and the newest of them."""
    known: set[str] = set()
    replaced: set[str] = set()
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name, value in re.findall(
            r"^((?:down_)?revision)\b[^=\n]*=\s*(.*)$", text, re.MULTILINE
        ):
            (known if name == "revision" else replaced).update(
                re.findall(r"[\"']([^\"']+)[\"']", value)
            )
    return known, known - replaced
