"""Reading: containers, pictures with their true times, and sound."""
