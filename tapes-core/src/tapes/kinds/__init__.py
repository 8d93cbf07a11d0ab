"""What a kind of metric is, and the five that there are: one module each, and the only ones that know their keys."""
