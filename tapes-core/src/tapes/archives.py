"""Support for distributions that are archives on `sys.path` (wheels, or other zip files) and share packages.

The import system finds a part of a package in an archive only if the archive has an entry for its folder. Wheels, and
the archives of many tools, have none.
"""

from __future__ import annotations

import pkgutil
import sys
from typing import List, MutableSequence


def add_archives(path: MutableSequence[str], package: str) -> None:
    """Add the folder of `package` in each archive on `sys.path` to `path`, the `__path__` of the package."""
    entries: List[object] = [*sys.path]
    for entry in entries:
        if isinstance(entry, str) and hasattr(pkgutil.get_importer(entry), "archive"):
            part = "/".join([entry, *package.split(".")])
            if part not in path:
                path.append(part)
