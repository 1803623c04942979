"""Training: the compiled step, the loop around it, and a run from start to results."""
