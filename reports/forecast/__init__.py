"""When problems like this one are usually fixed: what a city does, not what it promises.

`survival` estimates from closed and open cases alike, `foreseeing` recomputes a city's forecasts
at night and looks one up, `telling` puts it into words, `evaluation` says how far it holds.
"""
