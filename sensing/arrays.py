"""Names for the kinds of arrays that the analysis hands around. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: (n,): one number for each sample.
Series = NDArray[np.float64]

#: (n, 3) or (n, m): one vector for each sample.
Vectors = NDArray[np.float64]

#: (n,): one yes or no for each sample.
Flags = NDArray[np.bool_]

#: (n,): places in another array, or counts.
Indices = NDArray[np.int64]
