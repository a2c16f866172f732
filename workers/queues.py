"""Which reaction follows which event, and in which queue it waits: the one table of the pipeline.

It imports no task, so that the relay, which only publishes, stays small.

Queues part work by what it waits for. `pipeline` is database and arithmetic and must be quick;
`delivery` and `media` may wait for somebody else's server; `house` is what the beat asks for. A
slow mail server fills `delivery` and nothing else. `trips` is arithmetic by the second, and phones
come home in their thousands at one hour: workers take from each queue in turn, so that a report
then waits for one trip and not for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LOCATE = "locate"
TRIAGE = "triage"
COMPARE = "compare"
ANNOUNCE = "announce"
GEOCODE = "geocode"
DELIVER = "deliver"
FORWARD = "forward"
HAND_OVER = "hand_over"
CLEAN_PHOTO = "clean_photo"
FETCH_PHOTO = "fetch_photo"
CLEAN_ASSET_PHOTO = "clean_asset_photo"
ERASE = "erase"
ANALYSE_TRIP = "analyse_trip"
JUDGE_ROADS = "judge_roads"
FOLLOW_ROADS = "follow_roads"

PIPELINE_QUEUE = "pipeline"
DELIVERY_QUEUE = "delivery"
MEDIA_QUEUE = "media"
HOUSE_QUEUE = "house"
TRIPS_QUEUE = "trips"

QUEUES = (PIPELINE_QUEUE, DELIVERY_QUEUE, MEDIA_QUEUE, HOUSE_QUEUE, TRIPS_QUEUE)

#: Where each reaction waits. Its task is `pipeline.<reaction>`.
QUEUE_OF: Mapping[str, str] = MappingProxyType(
    {
        LOCATE: PIPELINE_QUEUE,
        TRIAGE: PIPELINE_QUEUE,
        COMPARE: PIPELINE_QUEUE,
        ANNOUNCE: PIPELINE_QUEUE,
        GEOCODE: DELIVERY_QUEUE,
        DELIVER: DELIVERY_QUEUE,
        FORWARD: PIPELINE_QUEUE,
        HAND_OVER: DELIVERY_QUEUE,
        CLEAN_PHOTO: MEDIA_QUEUE,
        FETCH_PHOTO: MEDIA_QUEUE,
        CLEAN_ASSET_PHOTO: MEDIA_QUEUE,
        ERASE: HOUSE_QUEUE,
        ANALYSE_TRIP: TRIPS_QUEUE,
        # Arithmetic that loads much: beside what must be quick.
        JUDGE_ROADS: HOUSE_QUEUE,
        FOLLOW_ROADS: HOUSE_QUEUE,
    }
)

#: How many events one message carries. Set-based work wants many; photos take a second each, and
#: one event of deliveries may stand for a hundred messages. Erasing somebody looks through every
#: text there is.
BATCH_OF: Mapping[str, int] = MappingProxyType(
    {
        LOCATE: 100,
        TRIAGE: 100,
        COMPARE: 100,
        ANNOUNCE: 100,
        GEOCODE: 10,
        DELIVER: 4,
        FORWARD: 100,
        HAND_OVER: 1,
        CLEAN_PHOTO: 4,
        FETCH_PHOTO: 1,
        CLEAN_ASSET_PHOTO: 4,
        ERASE: 1,
        # Four hours of samples take seconds; whoever shares the worker waits for one trip only.
        ANALYSE_TRIP: 1,
        JUDGE_ROADS: 20,
        FOLLOW_ROADS: 100,
    }
)

#: What follows when something happened. Every kind of event stands here; a test compares this
#: with the catalogue of events. `announce` is beside every event that people, or other systems by
#: webhook, may be told of.
REACTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "report.submitted": (LOCATE, ANNOUNCE),
        "report.located": (TRIAGE,),
        "report.unplaced": (GEOCODE,),
        # Its team may live in another system.
        "report.triaged": (ANNOUNCE, FORWARD),
        "report.joined": (ANNOUNCE, FOLLOW_ROADS),
        # What was joined on arrival has never been triaged by itself.
        "report.unjoined": (TRIAGE, ANNOUNCE, FOLLOW_ROADS),
        "report.assigned": (ANNOUNCE, FORWARD),
        "report.status_changed": (ANNOUNCE, FOLLOW_ROADS),
        "report.rerouted": (ANNOUNCE, FORWARD),
        "report.service_changed": (TRIAGE,),
        "report.moved": (LOCATE,),
        "report.asset_chosen": (TRIAGE,),
        "report.question_asked": (ANNOUNCE,),
        "report.answered": (ANNOUNCE,),
        "report.added_to": (ANNOUNCE,),
        "report.commented": (ANNOUNCE,),
        "report.followed": (ANNOUNCE,),
        "photo.staged": (CLEAN_PHOTO,),
        # What was triaged without it is compared again, now that it can be seen.
        "photo.cleaned": (COMPARE,),
        "photo.dropped": (ANNOUNCE,),
        "photo.linked": (FETCH_PHOTO,),
        "sign_in.asked": (ANNOUNCE,),
        "invitation.sent": (ANNOUNCE,),
        "contact.asked": (ANNOUNCE,),
        "account.changed": (ANNOUNCE,),
        "account.closed": (ERASE,),
        "delivery.queued": (DELIVER,),
        "webhook.pinged": (ANNOUNCE,),
        "forwarding.queued": (HAND_OVER,),
        "asset.added": (ANNOUNCE,),
        "asset.changed": (ANNOUNCE,),
        "asset.moved": (ANNOUNCE,),
        "asset.removed": (ANNOUNCE,),
        "asset.returned": (ANNOUNCE,),
        "register.imported": (ANNOUNCE,),
        "adoption.begun": (ANNOUNCE,),
        "adoption.renewed": (ANNOUNCE,),
        "adoption.reminded": (ANNOUNCE,),
        "adoption.ended": (ANNOUNCE,),
        "adoption.named": (ANNOUNCE,),
        "adoption.offered": (ANNOUNCE,),
        "handover.offered": (ANNOUNCE,),
        "handover.answered": (ANNOUNCE,),
        "asset_photo.staged": (CLEAN_ASSET_PHOTO,),
        "correction.proposed": (ANNOUNCE,),
        "correction.decided": (ANNOUNCE,),
        "care.logged": (ANNOUNCE,),
        "care.called": (ANNOUNCE,),
        "care.answered": (ANNOUNCE,),
        "volunteers.addressed": (ANNOUNCE,),
        "trip.received": (ANALYSE_TRIP,),
        "road_defect.changed": (JUDGE_ROADS,),
        "campaign.sent": (ANNOUNCE,),
        "campaign.followed_up": (ANNOUNCE,),
        "campaign.held": (ANNOUNCE,),
        "campaign.answered": (ANNOUNCE,),
        "help.asked": (ANNOUNCE,),
        "help.answered": (ANNOUNCE,),
    }
)
