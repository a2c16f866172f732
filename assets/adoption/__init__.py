"""Looking after one given asset: claims, their term, hand-over, the waiting list, names.

1. `claiming`: adopt, release. Whoever changes anything about the adoption of an asset first locks
   the asset's row (`holding.lock`), so that its adopters, offers and waiting list are read and
   written by one at a time; the database refuses a second adopter in one slot all the same.
2. `keeping`: renew, change, and names, which somebody looks at before everybody reads them.
3. `waiting`, `passing`: those who wait are offered a free place, for some days; an adopter offers
   theirs to somebody, who accepts or not.
4. `reminding`: what falls due by the clock, found by the beat.

It sends no message: notifications do, from its events.
"""
