"""Reports to StatsD."""
