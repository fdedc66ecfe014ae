"""A page about finished runs, for people: figures of a run in, one HTML file and its PNGs out."""
