"""What servers answer with."""

from __future__ import annotations

from typing import Callable, Optional, Tuple

Page = Tuple[str, Optional[bytes]]
"""A media type and what is of that type; None if it could not be made."""

MakePage = Callable[[bool], Page]
"""Makes a page, given whether it is asked for by GET and not by HEAD. Called from any thread; raises nothing."""
