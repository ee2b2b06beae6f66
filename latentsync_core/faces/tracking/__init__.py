"""Who is where in every frame: shot cuts, tracks, people, the one who speaks, and how surely the mouth is seen."""
