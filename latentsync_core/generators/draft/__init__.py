"""The draft: the mouth of each source frame itself is moved, by its own mesh, without a network of its own."""
