"""The networks and their files: what is published, where it is stored, and how it is loaded."""
