"""Where processes meet: the files at an address, and the private folder for those of one configuration.

Which folder and names follows from the configuration and the user alone, not from the working directory, the
environment or the home directory. So a web server, a cron job and a command of the same user find the same aggregator.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from contextlib import suppress
from typing import Mapping, NamedTuple, Union

from tapes.distributed import files
from tapes.errors import ReporterError

_ROOTS = ("/tmp", "/dev/shm", "/var/tmp", "/run")
"""Folders in which every user may write. The first that can be used has the private folder."""

_MODE = 0o700


class Rendezvous(NamedTuple):
    """The files beside the socket of an aggregator, by which processes find one another."""

    socket: str
    """The path of the socket that workers publish to."""

    @property
    def address(self) -> str:
        """The address that workers publish to."""
        return f"ipc://{self.socket}"

    @property
    def lock(self) -> str:
        """The lock of the aggregator, which one process at a time holds."""
        return f"{self.socket}.lock"

    @property
    def log(self) -> str:
        """The log of the aggregator."""
        return f"{self.socket}.log"

    @property
    def state(self) -> str:
        """The state of the aggregator, which one that is killed leaves to the next."""
        return f"{self.socket}.state"

    @property
    def start(self) -> str:
        """The lock of the process that starts an aggregator."""
        return f"{self.socket}.start"

    @property
    def page(self) -> str:
        """The socket on which the aggregator serves its pages."""
        return f"{self.socket}.page"


def name_of(config: Union[str, Mapping[str, object]]) -> str:
    """Return a name for a configuration: the absolute path of its file, or its content."""
    if isinstance(config, str):
        path = os.path.abspath(config)
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", os.path.splitext(os.path.basename(path))[0])[:24]
        identity = path
    else:
        stem, identity = "config", json.dumps(config, sort_keys=True, default=str)
    return f"{stem}-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:12]}"


def meeting_at(config: Union[str, Mapping[str, object]]) -> Rendezvous:
    """Return where the processes of this user meet for a configuration, and make the private folder.

    Raises ReporterError if no folder can be used.
    """
    return Rendezvous(os.path.join(private_folder(), name_of(config)))


def private_folder() -> str:
    """Return a folder that only this user can enter, made now if it is not there.

    Raises ReporterError if there is none that can be used.
    """
    refused = []
    for root in _ROOTS:
        path = os.path.join(root, f"tapes-{os.geteuid()}")
        try:
            with suppress(FileExistsError):
                os.mkdir(path, _MODE)
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                refused.append(f"{path} is {files.kind(status)}")
            elif files.is_foreign(status):
                refused.append(f"{path} belongs to the user {files.owner(status)}")
            elif stat.S_IMODE(status.st_mode) & 0o077:
                refused.append(f"{path} can be entered by others: chmod 700 {path}")
            elif not os.access(path, os.W_OK | os.X_OK):
                refused.append(f"{path} is read-only")
            else:
                return path
        except OSError as error:
            refused.append(f"{path}: {error.strerror}")
    raise ReporterError(
        f"There is no private folder for the socket of the aggregator: {'; '.join(refused)}. Give socket_addr in "
        "[aggregator], or make one of these folders usable."
    )
