"""Processes: forks, servers' settings, and how a process ends."""
