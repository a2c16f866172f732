"""Who may do what: the permission table. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Role(enum.StrEnum):
    """What somebody is to a jurisdiction; `accounts.rules` says what each may do."""

    VIEWER = "viewer"
    AGENT = "agent"
    MANAGER = "manager"
    ADMIN = "admin"
    COORDINATOR = "coordinator"
    AUDITOR = "auditor"
    CITIZEN = "citizen"


class Permission(enum.StrEnum):
    """One thing that somebody may or may not do."""

    READ_REPORTS = "reports.read"  # staff view: everything but contact data
    READ_CONTACTS = "reports.read_contacts"
    TAKE_CALLS = "reports.take_calls"  # file a report on behalf of a citizen
    WORK_REPORTS = "reports.work"  # status, comment, question, photo
    TRIAGE_REPORTS = "reports.triage"  # assign, join, re-route, change service
    MANAGE_CITY = "city.manage"  # webhooks, rules, teams
    MANAGE_PEOPLE = "people.manage"
    READ_AUDIT = "audit.read"
    COORDINATE_VOLUNTEERS = "volunteers.coordinate"


_VIEWER = frozenset({Permission.READ_REPORTS})
_AGENT = _VIEWER | {
    Permission.READ_CONTACTS,
    Permission.TAKE_CALLS,
    Permission.WORK_REPORTS,
    Permission.TRIAGE_REPORTS,
}
_MANAGER = _AGENT | {Permission.MANAGE_CITY}
_ADMIN = _MANAGER | {Permission.MANAGE_PEOPLE, Permission.COORDINATE_VOLUNTEERS}

#: What each role may do, in the scope it was granted for.
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.CITIZEN: frozenset(),
    Role.VIEWER: _VIEWER,
    Role.AGENT: _AGENT,
    Role.MANAGER: _MANAGER,
    Role.ADMIN: _ADMIN,
    Role.COORDINATOR: frozenset({Permission.READ_REPORTS, Permission.COORDINATE_VOLUNTEERS}),
    Role.AUDITOR: frozenset(
        {Permission.READ_REPORTS, Permission.READ_CONTACTS, Permission.READ_AUDIT}
    ),
}
