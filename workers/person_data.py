"""Everything held on one person, over all features: exported as one ZIP, or erased.

What each feature holds it says itself (`accounts.people_data.Contribution`); a new feature that
stores anything about people is added to `CONTRIBUTIONS`. Views and commands call `collect`,
`write_zip` and `erase`; the latter two open no transaction while files are read or deleted.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

import accounts.people_data as accounts_data
import assets.people_data as assets_data
import notifications.people_data as notifications_data
import open311.people_data as open311_data
import reports.people_data as reports_data
from accounts import audit
from accounts.actors import Actor
from accounts.audit import Action, Subject
from accounts.people_data import Contribution, HeldFile, Who
from core.db import reading, transaction
from reports.models import Photo
from reports.storage import MissingFileError, Storage
from reports.vocabulary import PhotoState
from workers import asset_photos, retaining

#: From the top down: each still finds what the ones below hold.
CONTRIBUTIONS: tuple[Contribution, ...] = (
    open311_data,
    notifications_data,
    assets_data,
    reports_data,
    accounts_data,
)


@dataclass(frozen=True, slots=True)
class Collected:
    """Everything held on one person, ready to be written."""

    who: Who
    documents: dict[str, Sequence[Any]]
    files: Sequence[HeldFile]

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is held."""
        return not any(self.documents.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What erasing did, or would do: how many of each thing, and what stays and why."""

    counts: dict[str, int]
    kept: tuple[str, ...]

    @property
    def total(self) -> int:
        """How many things in all."""
        return sum(self.counts.values())


#: What stays of everybody who is erased, whatever was held on them.
ALWAYS_KEPT = (
    "backups keep them until they expire: docs/privacy.md says how to erase again after a restore",
    "the audit log keeps ids, without a name",
    "a block list entry, if there is one, keeps a keyed digest that only a new attempt can match",
)


def known(session: Session, who: Who) -> Who:
    """The same person with every name they gave anywhere."""
    names = frozenset(name for each in CONTRIBUTIONS for name in each.names(session, who))
    return who.also(names)


def collect(session: Session, who: Who, by: Actor | str, *, now: datetime) -> Collected:
    """Everything held on a person, in the caller's transaction; that it was read is recorded."""
    documents: dict[str, Sequence[Any]] = {}
    files: list[HeldFile] = []
    for each in CONTRIBUTIONS:
        part = each.held(session, who)
        documents |= {name: list(rows) for name, rows in part.documents.items()}
        files += part.files
    audit.record(
        session,
        by,
        Action.PERSON_EXPORTED,
        Subject("person", who.person_id or "without account"),
        now=now,
        data={name: len(rows) for name, rows in documents.items() if rows},
    )
    return Collected(who, documents, files)


def write_zip(target: IO[bytes], collected: Collected, storage: Storage, *, now: datetime) -> None:
    """Write the export: a README in two languages, a JSON file for each kind, the photos they sent.

    Reads files, so it is called outside any transaction. A photo whose file is gone is left out.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: str | bytes) -> None:
            entry = zipfile.ZipInfo(name, now.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)

        for name, text in _READMES.items():
            add(name, text.format(day=now.date().isoformat()))
        for name, rows in collected.documents.items():
            add(
                f"{name}.json",
                json.dumps(rows, ensure_ascii=False, indent=2, default=_plain) + "\n",
            )
        for file in collected.files:
            try:
                add(file.name, storage.get(file.key))
            except MissingFileError:
                continue


def erase(who: Who, by: Actor | str, *, storage: Storage, data_dir: Path, now: datetime) -> Outcome:
    """Erase a person everywhere; killed at any moment it can be run again, and twice is harmless.

    1. Photos of theirs that still wait are cleaned, so that nothing that a phone wrote into them is
       left; copies of messages are deleted.
    2. One transaction forgets the person in every feature.
    3. Files that the transaction let go are deleted, and copies that were written meanwhile.

    Raises:
        StorageAwayError: photos could not be read or deleted; run it again.
    """
    from reports.media import cleaning

    folder = data_dir / "outbox"
    with reading() as session:
        who = known(session, who)
        own = reports_data.report_ids(session, who)
        copies = notifications_data.delivery_ids(session, who)
        staged = cleaning.waiting(session, _staged(session, own))
    outcomes = [cleaning.clean(storage, photo) for photo in staged]
    if outcomes:
        with transaction() as session:
            cleaning.record(session, outcomes, now=now)
        cleaning.discard(storage, outcomes)
    deleted = notifications_data.delete_copies(folder, who, copies)
    with transaction() as session:
        outcome = _forget(session, who, by, now)
    retaining.delete_files(storage, now=now)
    asset_photos.delete_photos(storage, now=now)
    deleted += notifications_data.delete_copies(folder, who, copies)
    outcome.counts["copies of messages"] = deleted
    return outcome


def would_erase(session: Session, who: Who, now: datetime) -> Outcome:
    """What `erase` would do: it is done in the caller's session, which must be rolled back."""
    return _forget(session, known(session, who), audit.OPERATOR, now)


def _forget(session: Session, who: Who, by: Actor | str, now: datetime) -> Outcome:
    counts: Counter[str] = Counter()
    kept: list[str] = []
    for each in CONTRIBUTIONS:
        erased = each.erase(session, who, now)
        counts.update(erased.counts)
        kept += erased.kept
    done = {name.replace(" ", "_"): count for name, count in counts.items() if count}
    audit.record(
        session,
        by,
        Action.PERSON_ERASED,
        Subject("person", who.person_id or "without account"),
        now=now,
        data=done,
    )
    return Outcome(dict(counts), (*kept, *ALWAYS_KEPT))


def _staged(session: Session, report_ids: Sequence[UUID]) -> list[UUID]:
    return list(
        session.scalars(
            sa.select(Photo.id).where(
                Photo.report_id.in_(list(report_ids)), Photo.state == PhotoState.STAGED.value
            )
        )
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


_READMES = {
    "LISEZMOI.txt": """\
Vos données, telles que ce service les détient au {day}

Chaque fichier .json est une liste, lisible avec un éditeur de texte. Une liste vide dit qu’il n’y
a rien de cette sorte. Les heures sont en temps universel (UTC).

account.json              Votre compte : adresse, numéro, nom, langue, façon d’afficher votre nom.
                          Le mot de passe n’est pas lisible, même pour nous : le fichier dit
                          seulement s’il y en a un.
roles.json                Vos rôles, si vous travaillez pour la collectivité ou comme bénévole.
sign_ins.json             Vos connexions : quand, comment, avec quel genre d’appareil.
keys.json                 Les clés d’accès pour programmes créées à votre nom.
second_factor.json        Si la connexion à deux étapes est en service.
identities.json           Votre identité auprès du service de connexion de la collectivité.
proofs.json               Les liens et codes envoyés pour prouver une adresse ou un numéro.
invitations.json          Les invitations envoyées à votre adresse.
blocks.json               Si votre compte a été empêché de signaler, et pourquoi.
reports.json              Vos signalements : ce que vous avez écrit, où, quand, les réponses,
                          les notes internes qui vous nomment, ce qui a été masqué (« taken_out »).
contacts_in_reports.json  Les coordonnées laissées avec un signalement, ou pour en suivre un.
adoptions.json            Ce sur quoi vous veillez ou avez veillé, et le nom donné.
adoption_history.json     Ce qui est arrivé à ces adoptions, et quand.
care.json                 Ce que vous avez fait pour des équipements, quand et combien de minutes.
help_requests.json        Les signalements pour lesquels vous avez été sollicité comme bénévole, et
                          votre réponse.
care_calls.json           Les équipements dont vous avez signalé qu’il fallait s’en occuper.
campaign_letters.json     Les équipements au sujet desquels des campagnes vous ont écrit, et vos
                          réponses.
campaigns_refused.json    Les villes dont vous ne voulez plus recevoir de campagnes.
corrections.json          Ce que vous avez proposé de corriger au registre, et ce qu’il en est.
confirmations.json        Les corrections d’autres personnes que vous avez confirmées.
waiting_lists.json        Les listes d’attente où vous êtes inscrit.
handovers.json            Ce qu’un bénévole propose de vous confier, ou vous à quelqu’un d’autre.
messages.json             Les messages qui vous ont été adressés : sujet, canal, date.
browsers.json             Les navigateurs qui reçoivent des notifications pour vous.
forwarded.json            Vos signalements remis à un autre système (sans votre nom ni vos
                          coordonnées), et ce qu’il en a dit.
photos_to_fetch.json      Les adresses de vos photos qui restent à récupérer.
work_as_staff.json        Ce que vous avez fait sur des signalements en tant qu’agent.
notes_as_staff.json       Ce que vous avez écrit en tant qu’agent.
routing_rules.json        Règles d’attribution d’une ville qui vous nomment, ligne par ligne.
photos/                   Les photos que vous avez envoyées, sans ce que l’appareil y avait inscrit.

Pour faire rectifier ou effacer ces données, adressez-vous à la collectivité, ou à son délégué à la
protection des données.
""",
    "README.txt": """\
Your data, as held by this service on {day}

Each .json file is a list that any text editor shows. An empty list says that nothing of that
kind is held. Times are in Universal Time (UTC).

account.json              Your account: address, number, name, language, how your name is shown. The
                          password cannot be read, not even by us: the file only says whether
                          there is one.
roles.json                Your roles, if you work for the city or as a volunteer.
sign_ins.json             When and how you signed in, and with what kind of device.
keys.json                 Access keys for programs, made in your name.
second_factor.json        Whether signing in takes a second step.
identities.json           Who you are to the city's own sign-in service.
proofs.json               Links and codes that were sent to prove an address or a number.
invitations.json          Invitations sent to your address.
blocks.json               Whether your account was kept from reporting, and why.
reports.json              Your reports: what you wrote, where and when, what was answered, internal
                          notes that name you, and what was taken out (“taken_out”).
contacts_in_reports.json  Contact details that were left with a report, or to follow one.
adoptions.json            What you look after or looked after, and the name you gave it.
adoption_history.json     What happened to these adoptions, and when.
care.json                 What you did for assets, when, and for how many minutes.
help_requests.json        Reports that you were asked about as a volunteer, and what you said.
care_calls.json           Assets of which you said that they need care.
campaign_letters.json     Assets that campaigns wrote to you about, and what you answered.
campaigns_refused.json    Cities whose campaigns you do not want any more.
corrections.json          What you said is wrong in the register, and what became of it.
confirmations.json        Corrections of others that you confirmed.
waiting_lists.json        The waiting lists that you are on.
handovers.json            What a volunteer offers to hand over to you, or you to somebody.
messages.json             Messages that were sent to you: what about, how, when.
browsers.json             Browsers that are notified on your behalf.
forwarded.json            Your reports that were handed to another system (without your name or
                          contact), and what it said to them.
photos_to_fetch.json      Addresses of photos of yours that are still to be fetched.
work_as_staff.json        What you did to reports as a member of the staff.
notes_as_staff.json       What you wrote as a member of the staff.
routing_rules.json        Routing rules of a city that name you, line by line.
photos/                   The photos you sent, without what the camera had written into them.

To have these data corrected or erased, turn to the city or its data protection officer.
""",
}
