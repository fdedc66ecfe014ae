"""What a comparison says of its runs: statistics over seeds and images, tables, a page."""
