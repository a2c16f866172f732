"""A service request on its way in: the parameters of the standard become a report's draft.

`draft` reads and notes everything that is wrong, `submit` stores through `reports.submission`. A
name or a number that nobody can use is left out rather than refused: clients send whatever a phone
had in its address book, and the report is what matters.

A client that did not hear the answer sends the same again, and mostly knows no `Idempotency-Key`.
So what one key sends twice within ten minutes, letter for letter, is one request
(`open311.repeating`); two who write through the same app differ in their words, their contact or
their place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.contact_rules import PhoneError, normal_phone
from accounts.naming import name_fault, normal_name
from core.outgoing import OutgoingRefusedError, check_url
from core.tokens import mac, token_for
from geo.measures import Point
from geo.models import Address
from open311 import awaiting, repeating
from open311.faults import missing, wrong
from open311.models import RequestToken
from open311.parameters import Parameters
from open311.translating import Notice, notice
from reports import attributes, submission
from reports.attributes import AttributeDefinition, Datatype
from reports.catalogue import Catalogue, ServiceEntry
from reports.contacts import Contact
from reports.intake_schemas import MAX_DESCRIPTION, ContactIn
from reports.submission import AssetFacts, Caller, Draft, Submitted
from reports.vocabulary import ActorKind, ServiceKind, Visibility

#: As long as the JSON API takes an address.
MAX_ADDRESS = 300

#: Addresses of photos: several by repeating the name, as FixMyStreet does.
_LINKS = ("media_url", "media_url[]")

#: No browser asks for a longer one.
_LONGEST_LINK = 2000

#: What tokens of batch services are derived for.
_TOKEN = "open311_token"

_EMAIL = ContactIn(only=("email",))


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What came beside the parameters, and what tells one sending from the next.

    Attributes:
        digests: of the photos that came as files.
        links: addresses of photos to fetch.
        content: digest of everything that was sent; None where an `Idempotency-Key` says which
            sendings are one.
    """

    digests: Sequence[bytes] = ()
    links: Sequence[str] = ()
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told: an id, a token that leads to it, or neither."""

    submitted: Submitted
    token: str | None

    def document(self, locale: str | None) -> dict[str, Any]:
        """The one `request` of the answer."""
        place, kind = self.submitted.jurisdiction, self.submitted.service.kind
        language = locale or place.default_locale
        said = None
        if kind is ServiceKind.BATCH:
            said = Notice.BATCH
        elif kind is ServiceKind.BLACKBOX:
            said = Notice.BLACKBOX
        elif self.submitted.visibility is not Visibility.PUBLIC:
            said = Notice.REVIEW
        found: dict[str, Any] = {}
        if self.token is not None:
            found["token"] = self.token
        elif kind is not ServiceKind.BLACKBOX:
            found["service_request_id"] = str(self.submitted.id)
        found["service_notice"] = said and notice(said, language, place.default_locale)
        found["account_id"] = None
        return found


def draft(
    session: Session, catalogue: Catalogue | None, sent: Parameters, point: Point | None
) -> Draft | None:
    """The report that was sent; None where something is wrong, which `sent` then knows.

    Args:
        catalogue: None where the jurisdiction is in doubt; the rest is read all the same.
    """
    code = sent.text("service_code")
    service = None
    if code is None:
        sent.fault("service_code was not provided")
    elif catalogue is not None:
        service = _service(catalogue, code, sent)
    description = sent.words("description", MAX_DESCRIPTION)
    address = sent.words("address_string", MAX_ADDRESS)
    address_id = sent.text("address_id")
    has_position = "lat" in sent.values or "long" in sent.values
    is_address_point = False
    if address_id is not None and catalogue is not None:
        known = _address(session, catalogue.place.id, address_id)
        if known is not None:
            address = address or known.text
            if not has_position and known.point is not None:
                is_address_point = catalogue.place.boundary.contains(known.point)
                point = known.point if is_address_point else None
        elif point is None and address is None:
            sent.fault("address_id: there is no such address")
    if not has_position and "address_string" not in sent.values and address_id is None:
        sent.fault("a location was not provided: lat and long, address_string or address_id")
    answers = _answers(service, sent) if service is not None else {}
    contact = _contact(catalogue, sent)
    if sent.faults or catalogue is None or service is None:
        return None
    return Draft(
        service_code=service.code,
        jurisdiction=catalogue.place.code,
        point=point,
        is_address_point=is_address_point,
        address=address,
        description=description or "",
        attributes=answers,
        contact=contact,
    )


def submit(
    session: Session,
    report: Draft,
    caller: Caller,
    *,
    now: datetime,
    secret: str,
    assets: AssetFacts | None,
    enclosed: Enclosed,
) -> Receipt:
    """Store the report in the caller's transaction, or find it; of a batch service with its token.

    Raises:
        what `reports.submission.submit` raises.
    """
    if enclosed.content is not None:
        report = replace(report, id=repeating.id_of(session, enclosed.content, now))
    submitted = submission.submit(
        session,
        report,
        caller,
        now=now,
        secret=secret,
        assets=assets,
        content_digests=[
            *enclosed.digests,
            *(hashlib.sha256(link.encode()).digest() for link in enclosed.links),
        ],
    )
    if enclosed.links and not submitted.is_replay:
        awaiting.keep(
            session,
            submitted.id,
            submitted.jurisdiction.id,
            enclosed.links,
            by=ActorKind.REPORTER,
            now=now,
        )
    token = None
    if submitted.service.kind is ServiceKind.BATCH:
        token = token_for(secret, _TOKEN, submitted.id, 1)
        session.execute(
            postgresql.insert(RequestToken)
            .values(token=token, report_id=submitted.id, created_at=now)
            .on_conflict_do_nothing()
        )
    return Receipt(submitted, token)


def links(sent: Parameters, room: int) -> list[str]:
    """The addresses of photos that came, as many as there is room for.

    What is no address that is called (a path, `ftp:`, a name and a password in it) is left out.
    Whether one leads into somebody's own network is seen when it is fetched.
    """
    found: list[str] = []
    for name in _LINKS:
        for text in sent.values.get(name, ()):
            link = text.strip()
            try:
                check_url(link)
            except OutgoingRefusedError:
                continue
            if len(link) <= _LONGEST_LINK and link not in found:
                found.append(link)
    return found[:room]


def content_of(
    sent: Parameters, place: str | None, caller: Caller, digests: Sequence[bytes], secret: str
) -> bytes | None:
    """Digest of everything that a key sent, but the key; None under an `Idempotency-Key`.

    Args:
        place: code of the jurisdiction, which may stand in the path alone.
    """
    if caller.idempotency_key is not None:
        return None
    said = sorted((name, texts) for name, texts in sent.values.items() if name != "api_key")
    text = json.dumps([str(caller.actor.api_key_id), place, said, [each.hex() for each in digests]])
    return mac(secret, f"open311-content|{text}".encode())


def _service(catalogue: Catalogue, code: str, sent: Parameters) -> ServiceEntry | None:
    service = catalogue.by_code.get(code)
    if service is None or not service.is_active:
        sent.faults.append(missing("service_code: there is no such service"))
        return None
    if service.emergency is not None:
        sent.fault(f"service_code: this is an emergency, call {service.emergency['phone']}")
        return None
    return service


def _answers(service: ServiceEntry, sent: Parameters) -> dict[str, Any]:
    """The answers as they are stored. What the service does not ask is not looked at."""
    given = sent.answers()
    told = {
        question.code: _as_answer(question, given[question.code])
        for question in service.attributes
        if question.is_variable and question.code in given
    }
    checked = attributes.check(service.attributes, told)
    sent.faults.extend(
        wrong(f"attribute[{code}]: {message}")
        for code, messages in checked.errors.items()
        for message in messages
    )
    return dict(checked.values)


def _as_answer(question: AttributeDefinition, texts: list[str]) -> Any:
    if question.datatype is Datatype.MULTIPLE:
        return [text.strip() for text in texts]
    if question.datatype is Datatype.SINGLE:
        chosen = [text.strip() for text in texts]
        return chosen[0] if len(chosen) == 1 else chosen
    return texts[0] if len(texts) == 1 else texts


def _contact(catalogue: Catalogue | None, sent: Parameters) -> Contact | None:
    email = sent.text("email")
    if email is not None:
        try:
            email = _EMAIL.load({"email": email})["email"]
        except ma.ValidationError:
            sent.fault("email: this is no e-mail address")
    phone = sent.text("phone")
    if phone is not None and catalogue is not None:
        try:
            phone = normal_phone(phone, catalogue.place.country)
        except PhoneError:
            phone = None
    parts = (sent.text("first_name"), sent.text("last_name"))
    name = normal_name(" ".join(part for part in parts if part)) or None
    if name is not None and name_fault(name) is not None:
        name = None
    contact = Contact(email=email, phone=phone, name=name)
    return None if contact.is_empty else contact


@dataclass(frozen=True, slots=True)
class _Known:
    """An address of the gazetteer in words, and where it is if it is one house or square."""

    text: str
    point: Point | None


def _address(session: Session, jurisdiction_id: int, address_id: str) -> _Known | None:
    """The address that an id of the city's own stands for: `2546`, or `2546-118` with its number.

    Where many houses share one id, as those of a street do, the street alone. With its town, so
    that it is found where two streets of a city are called the same.
    """
    code, _, number = address_id.rpartition("-")
    rows = session.execute(
        sa.select(
            Address.street,
            Address.number,
            Address.suffix,
            Address.postcode,
            Address.locality,
            Address.lat,
            Address.lon,
        )
        .where(
            Address.jurisdiction_id == jurisdiction_id,
            sa.or_(
                Address.code == address_id,
                sa.and_(
                    Address.code == code,
                    sa.func.concat(Address.number, Address.suffix) == number,
                ),
            ),
        )
        .order_by(Address.street, Address.number, Address.suffix, Address.id)
        .ext(postgresql.distinct_on(Address.street, Address.number, Address.suffix))
        .limit(2)
    ).all()
    if not rows:
        return None
    row = rows[0]
    is_one = len(rows) == 1
    house = str(row.street)
    if is_one and row.number is not None:
        joint = "" if len(row.suffix) <= 1 else " "
        house = f"{row.number}{joint}{row.suffix} {row.street}"
    town = " ".join(part for part in (row.postcode, row.locality) if part)
    point = Point(row.lat, row.lon) if is_one else None
    return _Known(f"{house}, {town}" if town else house, point)
