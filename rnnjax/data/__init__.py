"""Images: where they come from, their order, and how they become sequences."""
