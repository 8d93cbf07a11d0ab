"""What concerns processes: how they are forked, what their servers set up, and how they end."""
