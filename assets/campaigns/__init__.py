"""Campaigns: adopters are told when it matters, and are asked afterwards whether it is done.

1. `keeping`: a coordinator makes a campaign: for a kind, an area, a time; set off by hand, by the
   calendar or by the weather.
2. `reaching`: whom it would reach now, and with which words; whoever is asked first sees that.
3. `sending`: one round of it. Each adopter gets one letter, however many assets are theirs; of one
   event nobody is told twice, which the database guarantees.
4. `answering`: hours later, “is it clear?”, answered by link; and being told no more.
"""
