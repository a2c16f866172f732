"""From defects that phones feel to service requests, and from repairs to what phones say of them.

`rules` holds what is decided, `opening` opens requests and adds evidence, `following` hears what
becomes of them, `verifying` asks later trips whether a repair holds. The words are in `wording`.
"""
