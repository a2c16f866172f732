"""How much is known of roads, in words: never that they are good. Pure."""

from __future__ import annotations

from sensing.seeing.vocabulary import Knowledge

#: The window of coverage: a quarter. Streets that nobody drove over in it are unknown.
WINDOW_DAYS = 90

#: An area with fewer driven cells is unknown: two or three cells may be one trip that got lost, and
#: its way need not be shown.
FEWEST_CELLS = 5

#: From which share of its street cells on a part, or most, of an area is known.
PART_FROM, MOST_FROM = 0.25, 0.75


def knowledge(street_cells: int, driven_cells: int) -> Knowledge:
    """How much of an area is known."""
    if street_cells == 0 or driven_cells < min(FEWEST_CELLS, street_cells):
        return Knowledge.UNKNOWN
    share = driven_cells / street_cells
    if share < PART_FROM:
        return Knowledge.LITTLE
    return Knowledge.PART if share < MOST_FROM else Knowledge.MOST
