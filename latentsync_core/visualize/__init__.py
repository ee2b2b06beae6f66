"""Pictures for people: contact sheets, who is who, what was tracked, and curves of the mouth."""
