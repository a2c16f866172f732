"""Where things are: measures and cells, jurisdictions and areas, gazetteer, geocoding."""
