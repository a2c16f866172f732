"""Which service the words of a report mean: proposed to people, never decided for them.

`grams` takes a text apart, `model` scores it in plain arithmetic, `prior` makes a model of nothing
but a catalogue, `training` fits one to a city's past, `scoring` says how good it is, and
`proposing` answers intake and staff with the model in force.
"""
