"""Where processes meet: the files at an address, and the private folder for those of one configuration.

Which folder and names follows from the configuration and the user alone, not from the working directory, the
environment or the home directory. So a web server, a cron job and a command of the same user find the same aggregator.

With `group` it is one folder for all users of that group. Nobody else can enter it, so nobody else can listen there,
connect, or read what is in it; within the group everybody can.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from typing import Callable, List, Mapping, NamedTuple, Optional, Union

from tapes.distributed import files
from tapes.errors import ReporterError

LONGEST = 107
"""The most bytes in the path of a socket on Linux; a little less elsewhere."""

_ROOTS = ("/tmp", "/dev/shm", "/var/tmp", "/run")
"""Folders in which every user may write. The first that can be used has the private folder."""

_MODE = 0o700
_GROUP_MODE = 0o2770  # what is made in it belongs to the group


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
        """The socket on which the aggregator serves its pages.

        Where its name would be too long for the system, it is a short one in the same folder.
        """
        path = f"{self.socket}.page"
        if len(os.fsencode(path)) <= LONGEST:
            return path
        name = hashlib.sha256(os.fsencode(os.path.basename(path))).hexdigest()[:8]
        return os.path.join(os.path.dirname(path), name)


def name_of(config: Union[str, Mapping[str, object]]) -> str:
    """Return a name for a configuration: the absolute path of its file, or its content."""
    if isinstance(config, str):
        path = os.path.abspath(config)
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", os.path.splitext(os.path.basename(path))[0])[:24]
        identity = path
    else:
        stem, identity = "config", json.dumps(config, sort_keys=True, default=str)
    return f"{stem}-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:12]}"


def meeting_at(
    config: Union[str, Mapping[str, object]], group: Optional[int] = None, *, make: bool = True
) -> Rendezvous:
    """Return where the processes of this user, or of a group, meet for a configuration, and make the folder.

    With `make=False` return where it is, or would be made. Raises ReporterError if no folder can be used.
    """
    folder = private_folder(make=make) if group is None else group_folder(group, make=make)
    return Rendezvous(os.path.join(folder, name_of(config)))


def others_at(config: Union[str, Mapping[str, object]]) -> List[str]:
    """Return the sockets of other users for a configuration, where this user may look: mostly only root may."""
    name = name_of(config)
    found = [path for root in _ROOTS for path in glob.glob(f"{root}/tapes-*/{name}")]
    return [path for path in found if path.split(os.sep)[-2] != f"tapes-{os.geteuid()}"]


def private_folder(*, make: bool = True) -> str:
    """Return a folder that only this user can enter, made now if it is not there.

    Raises ReporterError if there is none that can be used.
    """

    def fault(status: os.stat_result, path: str) -> Optional[str]:
        if files.is_foreign(status):
            return f"belongs to the user {files.owner(status)}"
        if stat.S_IMODE(status.st_mode) & 0o077:
            return f"can be entered by others: chmod 700 {path}"
        return None

    return _usable(
        f"tapes-{os.geteuid()}",
        (lambda path: os.mkdir(path, _MODE)) if make else None,
        fault,
        "There is no private folder for the socket of the aggregator",
    )


def group_folder(group: int, *, make: bool = True) -> str:
    """Return a folder that only users of a group and root can enter, made now if it is not there.

    Raises ReporterError if there is none that can be used, or if this process is not in the group.
    """
    if os.geteuid() != 0 and group not in (os.getegid(), *os.getgroups()):
        raise ReporterError(
            f"group in [aggregator]: this process, of the user {_name_of_user(os.geteuid())}, is not in the group "
            f"{_name_of_group(group)}: add the user to it, and start the process again."
        )

    def fault(status: os.stat_result, path: str) -> Optional[str]:
        if status.st_gid != group:
            return f"belongs to the group {_name_of_group(status.st_gid)}"
        if not _is_member(status.st_uid, group):
            return f"belongs to the user {files.owner(status)}, who is not in the group {_name_of_group(group)}"
        if stat.S_IMODE(status.st_mode) != _GROUP_MODE:
            return f"has the mode {stat.S_IMODE(status.st_mode):o}: chmod {_GROUP_MODE:o} {path}"
        return None

    return _usable(
        files.folder_of_group(group),
        (lambda path: _make_for_group(path, group)) if make else None,
        fault,
        f"There is no folder of the group {_name_of_group(group)} for the socket of the aggregator",
    )


def _usable(
    name: str,
    make: Optional[Callable[[str], None]],
    fault: Callable[[os.stat_result, str], Optional[str]],
    complaint: str,
) -> str:
    """Return the first folder of this name that can be used, made by `make`, if that is given, if it is not there.

    Raises ReporterError, which begins with `complaint`, if there is none.
    """
    refused: List[str] = []
    for root in _ROOTS:
        path = os.path.join(root, name)
        try:
            above = os.stat(root).st_mode
            if above & stat.S_IWOTH and not above & stat.S_ISVTX:
                refused.append(f"{root} lets every user replace what is in it: chmod +t {root}")
                continue
            if not os.path.lexists(path):
                if make is None and os.access(root, os.W_OK | os.X_OK):
                    return path
                with suppress(FileExistsError):
                    if make is not None:
                        make(path)
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                refused.append(f"{path} is {files.kind(status)}")
            elif (found := fault(status, path)) is not None:
                refused.append(f"{path} {found}")
            elif not os.access(path, os.W_OK | os.X_OK):
                refused.append(f"{path} is read-only")
            else:
                return path
        except OSError as error:
            refused.append(f"{path}: {error.strerror}")
    raise ReporterError(
        f"{complaint}: {'; '.join(refused)}. Give socket_addr in [aggregator], or make one of these folders usable."
    )


def _make_for_group(path: str, group: int) -> None:
    """Make the folder with all its rights at once, since another process may look at it right now."""
    made = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}-", dir=os.path.dirname(path))
    try:
        os.chown(made, -1, group)
        os.chmod(made, _GROUP_MODE)
        os.rename(made, path)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        if not os.path.lexists(path):  # another process was not faster
            raise


@functools.lru_cache(maxsize=64)
def _is_member(user: int, group: int) -> bool:
    """Whether a user is in a group. Root and this user are, as nobody else could have given a folder to it."""
    import grp  # only on POSIX
    import pwd

    if user in (0, os.geteuid()):
        return True
    with suppress(KeyError):
        known = pwd.getpwuid(user)
        return known.pw_gid == group or known.pw_name in grp.getgrgid(group).gr_mem
    return False


def _name_of_user(user: int) -> str:
    with suppress(ImportError, KeyError):
        import pwd

        return repr(pwd.getpwuid(user).pw_name)
    return f"number {user}"


def _name_of_group(group: int) -> str:
    with suppress(ImportError, KeyError):
        import grp

        return repr(grp.getgrgid(group).gr_name)
    return f"number {group}"
