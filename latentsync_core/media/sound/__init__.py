"""Sound in memory: blocks of it, and channels mixed to one or two."""
