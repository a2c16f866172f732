"""An import from beginning to end: judge, compare, decide, and apply or only tell.

In the caller's transaction, all or nothing. The city folder's files come this way too; there every
row must be right, and what cannot be is a fault of the folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets import events
from assets.corrections import overtaking
from assets.importing import merging
from assets.importing.faults import BadRow, FileError, RowReason
from assets.importing.judging import Incoming, read_all
from assets.importing.mapping import FileMapping, fitting
from assets.importing.merging import Difference
from assets.importing.reading import OpenFile, opened
from assets.kinds import KindEntry
from assets.models import AssetImportRun, QuarantinedAsset
from assets.rules import is_loss_suspicious
from assets.vocabulary import RunKind
from core.outbox import emit
from geo.jurisdictions import JurisdictionRef

#: A file that lacks more than this share of a kind's known assets is taken for a broken one.
MOST_LOSS = 0.10


class LossRefusedError(Exception):
    """Too many known assets are not in the file; nothing was changed."""

    def __init__(self, found: Difference) -> None:
        super().__init__(
            f"{found.vanished} of {found.known} known ones are not in the file any more, more "
            f"than {MOST_LOSS:.0%}; is it whole? If they are really gone, say why with --allow-loss"
        )
        self.difference = found


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an import did, or would do.

    Attributes:
        run_id: of what was stored; None of a dry run, and where nothing was to be stored.
    """

    difference: Difference
    bad: Sequence[BadRow]
    run_id: int | None


def run_files(
    session: Session,
    place: JurisdictionRef,
    kind: KindEntry,
    paths: Sequence[Path],
    *,
    mapping: FileMapping | None = None,
    loss_reason: str | None = None,
    is_dry: bool = False,
    now: datetime,
) -> Outcome:
    """Bring in files that together hold all assets of a kind.

    Args:
        mapping: how they are written; None: as the city folder says, else as they show it.
        loss_reason: why more than a tenth may vanish.
        is_dry: only tell the difference.

    Raises:
        FileError: a file cannot be read or believed.
        LossRefusedError
    """

    def rows() -> Iterator[Incoming | BadRow]:
        for path in paths:
            chosen = mapping or fitting(kind.files, path.name)
            with _opened(path, chosen, is_given=mapping is not None) as (file, used):
                yield from read_all(file, kind, used, place)

    return run(
        session,
        kind,
        _each_code_once(rows()),
        names=[path.name for path in paths],
        begun_by=RunKind.COMMAND,
        loss_reason=loss_reason,
        is_dry=is_dry,
        now=now,
    )


def run(
    session: Session,
    kind: KindEntry,
    rows: Iterable[Incoming | BadRow],
    *,
    names: Sequence[str],
    begun_by: RunKind,
    loss_reason: str | None = None,
    is_dry: bool = False,
    now: datetime,
) -> Outcome:
    """Bring in rows that together are all assets of a kind; see `run_files`."""
    merging.lock(session, kind)
    # What breaks off in the middle leaves the caller's transaction as it was.
    with session.begin_nested():
        bad = merging.copy(session, rows)
    spared = {row.code for row in bad if row.code is not None}
    found = merging.difference(session, kind, spared)
    is_refused = is_loss_suspicious(found.known, found.vanished, most=MOST_LOSS, few=0)
    if is_refused and not loss_reason:
        raise LossRefusedError(found)
    if is_dry:
        return Outcome(found, bad, None)
    is_kept = begun_by is RunKind.COMMAND or not found.is_nothing or bool(bad)
    run_id = None
    if is_kept:
        run_id = _note(
            session,
            kind,
            found,
            bad,
            names=names,
            begun_by=begun_by,
            loss_reason=loss_reason if is_refused else None,
            now=now,
        )
    merging.carry_out(session, kind, run_id=run_id, now=now)
    overtaking.close(session, kind, now=now)
    if run_id is not None and not found.is_nothing:
        emit(
            session,
            events.IMPORTED,
            None,
            jurisdiction_id=kind.jurisdiction_id,
            kind=kind.code,
            run_id=run_id,
            counts=dict(found.counts),
        )
    return Outcome(found, bad, run_id)


@contextlib.contextmanager
def _opened(
    path: Path, mapping: FileMapping, *, is_given: bool
) -> Iterator[tuple[OpenFile, FileMapping]]:
    """The file; where only a mapping for another file of its type was known, it need not fit."""
    is_meant = is_given or (mapping.path or "").rpartition("/")[2] == path.name
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened(path, mapping))
            is_fitting = _names_fit(file, mapping)
        except FileError as error:
            if is_meant or error.code != "wrong_columns":
                raise
            is_fitting = False
        if not is_meant and not is_fitting:
            mapping = FileMapping()
            file = stack.enter_context(opened(path, mapping))
        yield file, mapping


def _names_fit(file: OpenFile, mapping: FileMapping) -> bool:
    wanted = [mapping.code, mapping.state, *mapping.attributes.values()]
    if file.columns is None:
        return True
    return all(name is None or name in file.columns for name in wanted)


def _each_code_once(rows: Iterable[Incoming | BadRow]) -> Iterator[Incoming | BadRow]:
    """The rows; a code that stands in two files is put aside the second time."""
    first: dict[str, tuple[str, int]] = {}
    for row in rows:
        if isinstance(row, Incoming):
            if row.code in first:
                file, line = first[row.code]
                detail = f"the code “{row.code}” stands in {file}:{line} already"
                yield BadRow(row.file, row.line, row.code, RowReason.DUPLICATE_CODE, detail)
                continue
            first[row.code] = (row.file, row.line)
        yield row


def _note(
    session: Session,
    kind: KindEntry,
    found: Difference,
    bad: Sequence[BadRow],
    *,
    names: Sequence[str],
    begun_by: RunKind,
    loss_reason: str | None,
    now: datetime,
) -> int:
    """Keep what was brought in, and what was put aside in place of what the last run put aside."""
    session.execute(
        sa.delete(QuarantinedAsset).where(
            QuarantinedAsset.run_id.in_(
                sa.select(AssetImportRun.id).where(AssetImportRun.kind_id == kind.id)
            )
        )
    )
    noted = AssetImportRun(
        jurisdiction_id=kind.jurisdiction_id,
        kind_id=kind.id,
        begun_by=begun_by.value,
        at=now,
        files=list(names),
        counts={**found.counts, "quarantined": len(bad)},
        loss_reason=loss_reason,
    )
    session.add(noted)
    session.flush()
    if bad:
        session.execute(
            sa.insert(QuarantinedAsset),
            [
                {
                    "run_id": noted.id,
                    "file": row.file,
                    "line": row.line,
                    "code": row.code,
                    "reason": row.reason.value,
                    "detail": row.detail,
                }
                for row in bad
            ],
        )
    return noted.id
