"""How one aggregator follows another at its address: it waits for its turn, and is left all that the other one knew.

Nobody waits for the aggregator of a different program: that is an error.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from tapes.distributed.claims import Claim, FileLock, Program, TakenError, next_lock
from tapes.distributed.keeper import Keeper
from tapes.distributed.logger import LOGGER_NAME
from tapes.errors import ReporterError

if TYPE_CHECKING:
    from tapes.distributed.addresses import Address
    from tapes.distributed.unified import UnifiedRegistry

_LEAVING = 10.0  # seconds for which an aggregator is waited for that leaves
_UNKNOWN = 1.0  # seconds in which one says that it leaves, if it does
_POLL = 0.02  # seconds between two looks at a lock whose holder leaves
_IDLE = 0.2  # seconds between two looks at a lock whose holder goes on
_FRESH = 10.0  # seconds for which what an aggregator has left to the next one is valid

Taken = TypeVar("Taken")


def claimed(
    address: Address, program: Program, wanted: Callable[[], bool], stands_by: Callable[[], None]
) -> Optional[Claim]:
    """Claim an address, if need be when the aggregator there has left; None if it is not `wanted` any more by then.

    Workers and others see that somebody stands by until `settle()` of the claim is called.

    One is waited for that leaves, that belongs to this program, or to one that has started this program. Calls
    `stands_by` where it goes on, or takes long to leave.

    Raises what `Claim` does, TakenError among it if the aggregator is a different program's.
    """
    turn: Optional[FileLock] = None

    def be_next() -> None:
        nonlocal turn
        if turn is None and address.path is not None:
            with suppress(ReporterError, OSError):
                turn = FileLock(next_lock(address.path), "", program)

    start = time.monotonic()
    standing = False
    try:
        while wanted():
            try:
                claim = Claim(address, program)
                claim.turn, turn = turn, None
                return claim
            except TakenError as error:
                holder = error.holder
                if not standing and holder is not None and holder.is_left_over(program):
                    with suppress(OSError):  # it ends in this moment
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
        if turn is not None:
            turn.release()
    return None


def locked(take: Callable[[], FileLock], wanted: Callable[[], bool]) -> Optional[FileLock]:
    """Take another lock of an aggregator when who has it has left, if it leaves; None if not `wanted` any more by then.

    Raises TakenError if it does not leave.
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
    """Whether the holder of a lock leaves, or may be about to say so."""
    holder = error.holder
    if holder is not None and (holder.is_leaving or holder.goes_on):
        return holder.is_leaving
    return time.monotonic() - start < _UNKNOWN


def bequeath(registry: UnifiedRegistry, address: Address) -> None:
    """Leave what an aggregator knows to the next one at its address. If that cannot be, it is logged."""
    if address.path is not None:
        Keeper(_legacy(address.path)).keep(registry)


def inherit(registry: Optional[UnifiedRegistry], address: Address) -> bool:
    """Fill a new registry with what the last aggregator left a moment ago, and return whether there was anything.

    Without a registry, as all of it is known already, it is only thrown away.
    """
    if address.path is None:
        return False
    path = _legacy(address.path)
    try:
        is_fresh = time.time() - os.lstat(path).st_mtime < _FRESH
        return is_fresh and (registry is None or Keeper(path).read(registry))
    except FileNotFoundError:
        return False
    except ReporterError as error:
        import logging

        logging.getLogger(LOGGER_NAME).warning("What the last aggregator has left is lost: %s", error)
        return False
    finally:
        with suppress(OSError):
            os.unlink(path)


def _legacy(path: str) -> str:
    """Return the file in which an aggregator leaves what it knows to the next one."""
    return f"{path}.left"
