"""A trained classifier as a file that other programs read: one module a format."""
