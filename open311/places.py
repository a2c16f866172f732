"""Which jurisdiction a call is about: the endpoint's own, the one named, or the only one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.errors import DomainError
from geo import jurisdictions
from geo.errors import JurisdictionNeededError
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from open311.faults import missing, of_error, wrong
from open311.parameters import Parameters


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a call came in.

    Attributes:
        jurisdiction: the code in the endpoint's own path; None where one serves all.
        default: the installation's DEFAULT_JURISDICTION.
    """

    base_url: str
    jurisdiction: str | None
    default: str | None

    def url_of(self, code: str) -> str:
        """The endpoint of one jurisdiction, where nobody need name it."""
        return f"{self.base_url}/open311/{code}/v2"


def meant(
    session: Session, endpoint: Endpoint, sent: Parameters, point: Point | None = None
) -> JurisdictionRef | None:
    """The jurisdiction; None, with the fault noted, where none or no single one is meant.

    Raises:
        NoJurisdictionError: no city is loaded here.
    """
    code = named(endpoint, sent)
    if endpoint.jurisdiction is not None and code != endpoint.jurisdiction:
        sent.faults.append(
            missing(f"jurisdiction_id: this endpoint serves {endpoint.jurisdiction}")
        )
        return None
    try:
        return jurisdictions.resolve(session, code=code, point=point, default=endpoint.default)
    except JurisdictionNeededError as error:
        known = ", ".join(error.extra["known"])
        sent.faults.append(
            wrong(
                "jurisdiction_id was not provided, and this endpoint serves several: "
                f"{known}. Each has an endpoint of its own, too, such as "
                f"{endpoint.url_of(error.extra['known'][0])}"
            )
        )
    except DomainError as error:
        if error.status >= 500:
            raise
        sent.faults.extend(of_error(error))
    return None


def named(endpoint: Endpoint, sent: Parameters) -> str | None:
    """The code that the call names, in its parameters or by its endpoint."""
    return sent.text("jurisdiction_id") or endpoint.jurisdiction


def if_named(session: Session, endpoint: Endpoint, sent: Parameters) -> JurisdictionRef | None:
    """The jurisdiction, where one is named or there is no other; ids need none."""
    if named(endpoint, sent) is None and endpoint.default is None:
        known = jurisdictions.all_of_them(session)
        return known[0] if len(known) == 1 else None
    return meant(session, endpoint, sent)
