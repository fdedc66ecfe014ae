"""What makes a run last: its workdir, lock, checkpoints and result."""
