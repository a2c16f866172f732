"""What the road tells, for everybody to see: defects, segments, and how little is known.

`queries` reads defects and segments, `coverage` measures where nobody drives, `roughness_sums` adds
up what single trips estimate, `plot` draws the evidence of a defect.
"""
