"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A machine that many share stalls now and then, which says nothing about the code: examples have no deadline.
settings.register_profile("any machine", deadline=None, print_blob=True)
settings.load_profile("any machine")
