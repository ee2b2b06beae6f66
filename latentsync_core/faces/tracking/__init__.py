"""Face tracking: shot cuts, tracks, people, the one who speaks, and whether the mouth is visible."""
