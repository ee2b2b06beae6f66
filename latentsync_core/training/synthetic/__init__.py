"""Clips with known ground truth: a talking portrait, rendered with the mouth opening of every frame recorded."""
