"""One picture: native planes, colours, and editing a part of it without touching the rest."""
