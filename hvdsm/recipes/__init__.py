"""Jobs of particular kinds, made of what `hvdsm launch` has."""
