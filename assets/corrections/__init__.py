"""Correcting the register: people propose, others confirm, staff or enough people decide.

1. `proposing`: a proposal that says what an open one says joins it, as a confirmation.
2. `deciding`: staff accept or reject with a reason; where the kind of asset says so, enough
   confirmations accept. What is accepted becomes the next version, with its origin.
3. `queries`: what is open, for everybody without who said it, for the city's GIS as a file.
"""
