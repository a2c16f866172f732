"""The register of the city's street assets: lamps, hydrants, trees, fountains, crossings.

What stands where, in which state, since when; who said so, and what it was before. Kinds are data
of the city folder. Stands between `reports`, which may name an asset, and everything that tells
people of one; it sends no message itself.
"""
