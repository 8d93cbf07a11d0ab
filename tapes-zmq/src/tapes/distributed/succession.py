"""How one aggregator succeeds another at its address: it waits for its turn, and inherits the state.

It does not wait for the aggregator of another program: that is an error.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from tapes.distributed.claims import Claim, FileLock, Program, TakenError, standby_lock_path
from tapes.distributed.keeper import Keeper
from tapes.distributed.logger import LOGGER_NAME
from tapes.errors import ReporterError

if TYPE_CHECKING:
    from tapes.distributed.addresses import Address
    from tapes.distributed.unified import UnifiedRegistry

_LEAVING = 10.0  # seconds to wait for an aggregator that is leaving
_UNKNOWN = 1.0  # seconds in which an aggregator that is leaving says so
_POLL = 0.02  # seconds between two checks of a lock whose holder is leaving
_IDLE = 0.2  # seconds between two checks of a lock whose holder goes on
_FRESH = 10.0  # seconds for which a left state is valid

Taken = TypeVar("Taken")


def claimed(
    address: Address, program: Program, wanted: Callable[[], bool], stands_by: Callable[[], None]
) -> Optional[Claim]:
    """Claim an address, after waiting if need be for the aggregator there to leave. None if no longer `wanted`.

    Others can see that an aggregator stands by until `settle()` of the claim is called.

    It waits for an aggregator that is leaving, or that belongs to this program or one that started this program. It
    calls `stands_by` if that one goes on, or takes long to leave.

    Raises what `Claim` raises: TakenError, for one, if the aggregator belongs to another program.
    """
    standby_lock: Optional[FileLock] = None

    def be_next() -> None:
        nonlocal standby_lock
        if standby_lock is None and address.path is not None:
            with suppress(ReporterError, OSError):
                standby_lock = FileLock(standby_lock_path(address.path), "", program)

    start = time.monotonic()
    standing = False
    try:
        while wanted():
            try:
                claim = Claim(address, program)
                claim.standby_lock, standby_lock = standby_lock, None
                return claim
            except TakenError as error:
                holder = error.holder
                if not standing and holder is not None and holder.is_left_over(program):
                    with suppress(OSError):  # it may be ending right now
                        os.kill(holder.pid, signal.SIGTERM)
                elif not standing and holder is not None and holder.belongs_to(program):
                    standing = True
                    stands_by()
                elif not standing and not _leaves(error, start):
                    raise
            be_next()
            if not standing and time.monotonic() - start > _LEAVING:
                standing = True
                stands_by()
            time.sleep(_IDLE if holder is not None and holder.goes_on else _POLL)
    finally:
        if standby_lock is not None:
            standby_lock.release()
    return None


def locked(take: Callable[[], FileLock], wanted: Callable[[], bool]) -> Optional[FileLock]:
    """Take a lock by `take`, after waiting for a holder that is leaving. None if no longer `wanted`.

    Raises TakenError if the holder is not leaving.
    """
    start = time.monotonic()
    while wanted():
        try:
            return take()
        except TakenError as error:
            if not _leaves(error, start) or time.monotonic() - start > _LEAVING:
                raise
        time.sleep(_POLL)
    return None


def _leaves(error: TakenError, start: float) -> bool:
    """Whether the holder of a lock is leaving, or may be about to say so."""
    holder = error.holder
    if holder is not None and (holder.is_leaving or holder.goes_on):
        return holder.is_leaving
    return time.monotonic() - start < _UNKNOWN


def hand_over(registry: UnifiedRegistry, address: Address) -> None:
    """Leave the state of an aggregator to the next one at its address. An error is logged."""
    if address.path is not None:
        Keeper(_handover_path(address.path)).keep(registry)


def take_over(registry: Optional[UnifiedRegistry], address: Address) -> bool:
    """Fill a new registry with the state that the last aggregator has just left, and return whether there was one.

    Without a registry, when the state is known already, only remove it.
    """
    if address.path is None:
        return False
    path = _handover_path(address.path)
    try:
        is_fresh = time.time() - os.lstat(path).st_mtime < _FRESH
        return is_fresh and (registry is None or Keeper(path).read(registry))
    except FileNotFoundError:
        return False
    except ReporterError as error:
        import logging

        logging.getLogger(LOGGER_NAME).warning("The state of the last aggregator is lost: %s", error)
        return False
    finally:
        with suppress(OSError):
            os.unlink(path)


def _handover_path(path: str) -> str:
    """Return the path of the file in which an aggregator leaves its state to the next one."""
    return f"{path}.left"
