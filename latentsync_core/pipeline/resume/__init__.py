"""What an interrupted run leaves beside its output, so that the next one goes on from there."""
