"""The same pipeline over many clips and many machines; Ray is imported only where a cluster is asked for."""
