"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# A machine that many share stalls now and then, which says nothing about the code: examples have no deadline.
settings.register_profile("any machine", deadline=None, print_blob=True)
settings.load_profile("any machine")

# A shell starts what runs in its background with Ctrl-C ignored, and whatever the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
