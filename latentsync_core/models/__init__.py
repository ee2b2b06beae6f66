"""The networks and their files: what is published, where it lies, and how it is read."""
