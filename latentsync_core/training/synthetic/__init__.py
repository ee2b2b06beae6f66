"""Clips with known truth: a portrait that speaks, rendered with the mouth opening of every frame on record."""
