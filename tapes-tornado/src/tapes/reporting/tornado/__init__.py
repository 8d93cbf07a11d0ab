"""Reporters that are driven by the event loop of Tornado."""
