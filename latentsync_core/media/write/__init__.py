"""Writing: encoders, the parts of a result, its sound, and the file that appears only when complete."""
