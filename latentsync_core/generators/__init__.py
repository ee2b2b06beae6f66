"""What turns the faces of a clip and a voice into new faces: one protocol, and the models behind it."""
