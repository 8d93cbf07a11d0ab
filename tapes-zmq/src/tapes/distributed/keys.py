"""CURVE keys: generates them, loads them from a folder, and checks that others cannot change or read them."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Dict, NamedTuple, Union

import zmq
import zmq.auth

from tapes.distributed import files
from tapes.errors import ReporterOptionError

AGGREGATOR = "aggregator"
WORKER = "worker"

_PUBLIC, _SECRET = ".key", ".key_secret"

Folder = Union[str, "os.PathLike[str]"]


class AggregatorKeys(NamedTuple):
    """The keys of an aggregator."""

    public: bytes
    secret: bytes
    admitted: Dict[bytes, str]
    """The public keys of all admitted workers, each with the name of its file."""


class WorkerKeys(NamedTuple):
    """The keys of a worker."""

    public: bytes
    secret: bytes
    aggregator: bytes
    """The public key of the aggregator."""


def generate(folder: Folder, name: str = "") -> Path:
    """Make a key pair for an aggregator and one for workers in `folder`. With `name`, make only one for those workers.

    Only the owner can read the folder and the secret keys. Returns the folder. Raises FileExistsError if a key exists
    already, and ReporterOptionError if 0MQ was built without CURVE.
    """
    if name and (os.path.basename(name) != name or name == AGGREGATOR):
        raise ReporterOptionError(
            f"The name of workers is the start of a file's name, like 'site', and not {name!r}: choose another."
        )
    if not zmq.has("curve"):
        raise ReporterOptionError(
            "This 0MQ was built without CURVE: install pyzmq from a wheel, or libzmq with libsodium."
        )
    path = Path(folder)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_if_others_write(path)
    names = (name,) if name else (AGGREGATOR, WORKER)
    for each in names:
        for suffix in (_PUBLIC, _SECRET):
            if (path / f"{each}{suffix}").exists():
                raise FileExistsError(f"{path / each}{suffix} is there already: choose another folder, or remove it.")
    # Made in a private folder, so that nobody else can read them whatever the umask, which belongs to all threads.
    with tempfile.TemporaryDirectory(dir=path) as private:
        for each in names:
            zmq.auth.create_certificates(private, each)
            for suffix, mode in ((_PUBLIC, 0o644), (_SECRET, 0o600)):
                made = Path(private) / f"{each}{suffix}"
                made.chmod(mode)
                made.rename(path / made.name)
    return path


def of_aggregator(folder: Folder) -> AggregatorKeys:
    """Return the keys of an aggregator: its own pair, and all other public keys in `folder` as those of its workers.

    Raises ReporterOptionError, with the remedy, for a key that is missing, invalid or open to others.
    """
    public, secret = _pair(folder, AGGREGATOR)
    names = sorted(file.name[: -len(_PUBLIC)] for file in Path(folder).glob(f"*{_PUBLIC}"))
    admitted = {_public(folder, name): name for name in names if name != AGGREGATOR}
    if not admitted:
        raise ReporterOptionError(
            f"keys: {os.fspath(folder)!r} has no key of a worker, so nobody could connect: copy one there, like "
            "worker.key."
        )
    return AggregatorKeys(public, secret, admitted)


def of_worker(folder: Folder) -> WorkerKeys:
    """Return the keys of a worker: its own pair, and the public key of the aggregator.

    The pair is the one named `worker`, or else the only other one in the folder. Raises ReporterOptionError, with the
    remedy, for a key that is missing, invalid or open to others.
    """
    secrets = [file.name[: -len(_SECRET)] for file in Path(folder).glob(f"*{_SECRET}")]
    others = sorted(name for name in secrets if name != AGGREGATOR)
    name = WORKER if WORKER in others or len(others) != 1 else others[0]
    public, secret = _pair(folder, name)
    return WorkerKeys(public, secret, _public(folder, AGGREGATOR))


def _pair(folder: Folder, name: str) -> tuple[bytes, bytes]:
    _refuse_if_others_write(Path(folder))
    path = Path(folder) / f"{name}{_SECRET}"
    status = _status(path)
    if status is not None and stat.S_IMODE(status.st_mode) & 0o077:
        raise ReporterOptionError(
            f"keys: {path} can be read by others: chmod 600 {path}, or make new keys if others have."
        )
    public, secret = _load(path)
    if secret is None:
        raise ReporterOptionError(
            f"keys: {path} has no secret key in it: copy the file again, or make keys with "
            "`python -m tapes.distributed keygen DIR`."
        )
    return public, secret


def _public(folder: Folder, name: str) -> bytes:
    return _load(Path(folder) / f"{name}{_PUBLIC}")[0]


def _load(path: Path) -> tuple[bytes, bytes | None]:
    _refuse_if_others_write(path)
    try:
        public, secret = zmq.auth.load_certificate(str(path))
    except (OSError, ValueError) as error:
        raise ReporterOptionError(
            f"keys: {path} cannot be used: {error}. Make keys with `python -m tapes.distributed keygen DIR`, and copy "
            "to each host what its side needs."
        ) from error
    return public, secret


def _refuse_if_others_write(path: Path) -> None:
    """Raise ReporterOptionError if another user could admit workers, by writing to `path`."""
    status = _status(path)
    if status is None:
        return
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return  # containers mount secrets read-only, with any mode
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise ReporterOptionError(
            f"keys: {path} can be written to by others: chmod go-w {path}, and check that you know all keys in it."
        )
    if status.st_uid not in (0, os.geteuid()):
        raise ReporterOptionError(
            f"keys: {path} belongs to the user {files.owner(status)}, who can let anybody in: chown it to the user of "
            "this process, or to root."
        )


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None on an error, which the read of the file will report."""
    if os.name == "posix":
        with suppress(OSError):
            return path.stat()
    return None
