"""Errors of the environment, like files and networks, explained in one line with a remedy."""

from __future__ import annotations

import errno
import socket
from typing import Optional

from tapes.errors import ReporterError

_FAR_END = "Start the server there, or correct the address."
_NETWORK = "Check the network and the address."
_SLOW = "Check why the far end is slow, or accepts nothing."
_RIGHTS = "Give the user of this process access to it, or choose another place."
_ROOM = "Make room on the disk."
_TRUST = "Correct the address, or have this process trust the certificate there: it may be named in SSL_CERT_FILE."
_LIMIT = "Raise the limit of open files (ulimit -n), or open fewer."

_REMEDIES = {
    errno.ECONNREFUSED: _FAR_END,
    errno.ECONNRESET: _FAR_END,
    errno.EPIPE: "Start the program that reads there.",
    errno.ENXIO: "Start the program that reads there.",
    errno.EHOSTUNREACH: _NETWORK,
    errno.ENETUNREACH: _NETWORK,
    errno.ENETDOWN: _NETWORK,
    errno.EADDRNOTAVAIL: _NETWORK,
    errno.ETIMEDOUT: _SLOW,
    errno.EAGAIN: _SLOW,
    errno.ENOENT: "Check that it exists, or correct the path.",
    errno.ENOTDIR: "Correct the path.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "Choose a writable place.",
    errno.ENOSPC: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EMFILE: _LIMIT,
    errno.ENFILE: _LIMIT,
    errno.EBADF: "Start the reporter after the program has closed its descriptors.",
}
if hasattr(errno, "EDQUOT"):
    _REMEDIES[errno.EDQUOT] = _ROOM


def explained(error: BaseException) -> Optional[str]:
    """Return one line with the problem and its remedy; None for an error that only a bug can cause."""
    if isinstance(error, ReporterError):
        return " ".join(str(error).split())
    if not isinstance(error, OSError):
        return None
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return f"{said}. {remedy(error)}".rstrip()


def remedy(error: OSError) -> str:
    """Return a sentence with the remedy for an error of the system; "" if there is none."""
    if isinstance(error, socket.gaierror):
        return "Correct the name of the host, or check the name server."
    if type(error).__module__ == "ssl":  # its numbers are none of the system's
        return _TRUST if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
    if error.errno is None and isinstance(error, (socket.timeout, TimeoutError, BlockingIOError)):
        return _SLOW
    return _REMEDIES.get(error.errno or 0, "")
