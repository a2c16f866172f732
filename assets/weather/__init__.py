"""What the weather is about to do in a city, as somebody else's server tells it.

1. `forecasts` reads Open-Meteo's JSON, `alerts` reads CAP 1.2; both only read.
2. `providers` asks the servers, or a file, behind protocols.
3. `rules` says whether what a campaign waits for is foreseen, and whether it is the same event as
   at the last look: snow that comes two hours later than was said is the same snow.
4. `watching` claims the cities whose weather is due, and keeps the events.
"""
