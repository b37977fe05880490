"""A year of nights over a fleet of emulated devices."""
