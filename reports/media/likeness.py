"""How alike photos are: a difference hash of 64 bits. Pure but for the image it is given.

Two photos of one thing, sent again, cropped by a hair or encoded anew, differ in few bits; any two
photos in about half. Each bit says whether a spot is brighter than its neighbour to the right, in
the picture shrunk to nine by eight spots of grey (Krawetz, "Kind of Like That", 2013). See
`docs/adr/0006-likeness-of-photos.md` for why no library does it.
"""

from __future__ import annotations

from PIL import Image

_WIDTH, _HEIGHT = 9, 8

#: A picture whose shrunk spots differ by less than this, of 255, is a wall or the night: all of
#: those are alike and none is evidence.
_LEAST_CONTRAST = 12

_BITS = 64


def likeness_of(image: Image.Image) -> int | None:
    """The hash of an upright picture, as a signed number of 64 bits; None where nothing is seen."""
    spots = image.convert("L").resize((_WIDTH, _HEIGHT), Image.Resampling.BOX).tobytes()
    if max(spots) - min(spots) < _LEAST_CONTRAST:
        return None
    bits = 0
    for row in range(_HEIGHT):
        for column in range(_WIDTH - 1):
            at = row * _WIDTH + column
            bits = bits << 1 | (spots[at] > spots[at + 1])
    return bits - (1 << _BITS) if bits >> (_BITS - 1) else bits
