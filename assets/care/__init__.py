"""What is done for an asset: care that is logged, calls of passers-by, what coordinators see.

1. `doing`: an action with its time, minutes, quantity and photo; it answers what was called.
2. `calling`: a passer-by says that an asset needs care, once an hour at most; the adopter cares, or
   says that it was a false alarm.
3. `queries`: one's own care with its streak, what is neglected, hours for the city's report.
4. `writing`: a coordinator writes to the adopters of a kind or an area.
"""
