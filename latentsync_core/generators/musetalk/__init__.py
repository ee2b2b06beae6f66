"""MuseTalk 1.0 and 1.5: the lower half of an upright face box, redrawn in one pass."""
