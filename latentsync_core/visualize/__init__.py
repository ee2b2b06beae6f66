"""Images for inspection: contact sheets, people sheets, track previews and mouth curves."""
