"""Measurements of instrument, none of which is part of the package."""
