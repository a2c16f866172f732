"""What can happen to a service request, as the outbox calls it. Subject: the report's id."""

from __future__ import annotations

from core.outbox import declare

SUBMITTED = declare("report.submitted", "A report was received; it has no team yet.")
LOCATED = declare("report.located", "Its position, address and areas are known, or known missing.")
UNPLACED = declare("report.unplaced", "It has an address and no position: a geocoder may know.")
TRIAGED = declare("report.triaged", "It was routed to a team and has a due date.")
JOINED = declare("report.joined", "It was found to repeat another report. Data: parent_id.")
UNJOINED = declare("report.unjoined", "It stands for itself again. Data: parent_id.")
ASSIGNED = declare("report.assigned", "A team or a person took it. Data: history_id.")
STATUS_CHANGED = declare(
    "report.status_changed",
    "It moved to another status. Data: history_id, from, to; takes_back, of a reopening undone.",
)
REROUTED = declare("report.rerouted", "Another team answers for it now. Data: history_id.")
SERVICE_CHANGED = declare(
    "report.service_changed", "It is of another service; it is triaged again. Data: history_id."
)
MOVED = declare("report.moved", "Staff put it elsewhere; it is located again. Data: history_id.")
ASSET_CHOSEN = declare(
    "report.asset_chosen",
    "Staff said which asset it is about, or none, or took it back. Data: history_id.",
)
QUESTION_ASKED = declare("report.question_asked", "The team asks its reporter. Data: note_id.")
ANSWERED = declare("report.answered", "The reporter answered. Data: note_id.")
ADDED_TO = declare("report.added_to", "The reporter added words. Data: note_id.")
COMMENTED = declare("report.commented", "Staff left words. Data: note_id.")
FOLLOWED = declare("report.followed", "Somebody wants to be told. Data: follower_id.")
PHOTO_STAGED = declare("photo.staged", "A photo waits to be cleaned. Data: photo_id.")
PHOTO_CLEANED = declare(
    "photo.cleaned", "A photo can be seen, and compared with others. Data: photo_id."
)
PHOTO_DROPPED = declare("photo.dropped", "A photo could not be decoded. Data: photo_id.")
