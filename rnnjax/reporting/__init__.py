"""What people see of a run: the terminal, summaries, event files."""
