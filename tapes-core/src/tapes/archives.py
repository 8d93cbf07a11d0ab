"""The packages that distributions share, where these are archives on `sys.path`: wheels, or other zip files.

The import system finds a part of a package in an archive only if the archive has an entry for its folder. Wheels have
none, nor have the archives of many tools.
"""

from __future__ import annotations

import pkgutil
import sys
from typing import List, MutableSequence


def add_archives(path: MutableSequence[str], package: str) -> None:
    """Add to `path`, that of `package`, where each archive has its part of it, if it has one."""
    entries: List[object] = [*sys.path]
    for entry in entries:
        if isinstance(entry, str) and hasattr(pkgutil.get_importer(entry), "archive"):
            part = "/".join([entry, *package.split(".")])
            if part not in path:
                path.append(part)
