"""A service request on its way in: the parameters of the standard become a report's draft.

`draft` reads and notes everything that is wrong, `submit` stores through `reports.submission`. A
name or a number that nobody can use is left out rather than refused: clients send whatever a phone
had in its address book, and the report is what matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.contact_rules import PhoneError, normal_phone
from accounts.naming import name_fault, normal_name
from core.tokens import token_for
from geo.measures import Point
from geo.models import Address
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
from reports.vocabulary import ServiceKind, Visibility

#: As long as the JSON API takes an address.
MAX_ADDRESS = 300

#: What tokens of batch services are derived for.
_TOKEN = "open311_token"

_EMAIL = ContactIn(only=("email",))


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
    if address_id is not None and catalogue is not None:
        known = _address(session, catalogue.place.id, address_id)
        if known is not None:
            address = address or known
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
    content_digests: Sequence[bytes],
) -> Receipt:
    """Store the report in the caller's transaction, or find it; of a batch service with its token.

    Raises:
        what `reports.submission.submit` raises.
    """
    submitted = submission.submit(
        session,
        report,
        caller,
        now=now,
        secret=secret,
        assets=assets,
        content_digests=content_digests,
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


def _address(session: Session, jurisdiction_id: int, address_id: str) -> str | None:
    """The address that an id of the city's own stands for: `2546`, or `2546-118` with its number.

    Where many houses share one id, as those of a street do, the street alone.
    """
    code, _, number = address_id.rpartition("-")
    rows = session.execute(
        sa.select(Address.number, Address.suffix, Address.street, Address.code)
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
        .order_by(Address.id)
        .limit(2)
    ).all()
    if not rows:
        return None
    row = rows[0]
    if len(rows) > 1 or row.number is None:
        return str(row.street)
    joint = "" if len(row.suffix) <= 1 else " "
    return f"{row.number}{joint}{row.suffix} {row.street}"
