"""The face networks: BlazeFace finds faces, FaceMesh their 468 points (weights included)."""
