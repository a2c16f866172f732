"""Which team gets a report: the rules as text and as values, and the decision by them."""
