"""The version of tapes-core."""

from __future__ import annotations

VERSION = "1.0.0"
