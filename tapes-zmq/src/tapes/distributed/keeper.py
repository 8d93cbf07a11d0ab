"""The keeper: it writes what an aggregator knows to a file and to journals, and reads it at the next start."""

from __future__ import annotations

import errno
import logging
import math
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Optional, Union

from tapes.distributed import files, journal
from tapes.distributed.frames import FrameError
from tapes.distributed.journal import Journal
from tapes.distributed.keeping import Kept, decode, encode, fill
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterError
from tapes.reporting.trouble import remedy
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.clock import Waitable

_INTERVAL = 5.0  # seconds between two writings
_SHARE = 20  # times that a writing took, which have to pass before the next
_LONG = 1.0  # seconds for which an aggregator that ends does not write its state
_LONGEST = 1 << 28  # bytes of a journal, after which the state is written in any case
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class Keeper:
    """Keeps what a registry knows: in a file that a new one takes the place of now and then, and a journal since then.

    So whatever was taken in outlives the process, and to keep it costs what it is. The file is always whole. It is
    forced to the disk, in a thread of its own; the journal is not. Gauges are not kept, as they are those of live
    workers, who tell them again. To be used by one thread.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._streak = Streak(LOGGER_NAME, f"The state of the aggregator in {self.path}")
        self._next = 0.0
        self._again = math.inf  # when it is written earlier than that, since the journal could not go on
        self._generation = 0
        self._journal: Optional[Journal] = None
        self._writing: Optional[threading.Thread] = None
        self._took = 0.0  # to write the state
        self._is_over = False

    def restore(self, registry: UnifiedRegistry) -> bool:
        """Fill a new registry with what was kept, and return whether there was anything.

        Raises ReporterError if the file cannot be used, or if none can be written in its place. A full disk is none of
        these: it is logged, and what was kept stays until there is room.
        """
        is_kept = self.read(registry)
        content = self._renewed(registry)
        try:
            self._put_in_place(content, self._generation)
        except OSError as error:
            if error.errno not in _FULL:
                raise ReporterError(f"state_path: {self.path} cannot be written: {reason(error)}") from error
            self._failed(error)
        self._next = time.monotonic() + _INTERVAL
        return is_kept

    def read(self, registry: UnifiedRegistry) -> bool:
        """Do the same, and write nothing. Raises ReporterError if the file cannot be used."""
        kept = self._read(registry)
        if kept is not None:
            fill(registry, kept)
        return kept is not None

    def took(self, registry: UnifiedRegistry, message: bytes) -> None:
        """Take note of a frame that the registry has taken in. It is kept with the next `flush()`."""
        if self._journal is not None:
            self._journal.add(registry.clock.monotonic(), message)

    def flush(self) -> bool:
        """Keep all frames that were taken note of. Return whether that was possible; if not, it has been logged."""
        if self._journal is None:
            return False
        try:
            self._journal.flush()
        except OSError as error:
            self._close_journal()
            self._again = time.monotonic() + _INTERVAL
            self._failed(error)
            return False
        return True

    def keep_when_due(self, registry: UnifiedRegistry) -> None:
        """Write the state if the last time is long enough ago, the journal is long, or it could not go on."""
        is_long = self._journal is not None and self._journal.size > _LONGEST
        start = time.monotonic()
        if (start >= min(self._next, self._again) or is_long) and not self._is_writing():
            self._again = math.inf
            content = self._renewed(registry)
            arguments = (content, self._generation, start)
            self._writing = threading.Thread(target=self._keep, args=arguments, name="tapes-state", daemon=True)
            self._writing.start()

    def keep(self, registry: UnifiedRegistry) -> bool:
        """Keep all for the last time. Return whether that was possible; if not, it has been logged.

        The state is written, unless that takes long: then it is left to the journal to go on from the last one.
        """
        if self._writing is not None:
            self._writing.join(_INTERVAL)
        self._is_over = True
        if self._journal is not None and (self._is_writing() or self._took > _LONG):
            return self.flush()
        content = self._renewed(registry, goes_on=False)
        return self._keep(content, self._generation, time.monotonic())

    def _read(self, registry: UnifiedRegistry) -> Optional[Kept]:
        """Return what was kept, None if nothing was, and count what is damaged. Raises ReporterError."""
        try:
            self._generation = journal.newest(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None  # which is said when something is to be written there
        except OSError as error:
            raise ReporterError(f"state_path: the folder of {self.path} cannot be read: {reason(error)}") from error
        try:
            with open(files.opened(self.path, os.O_RDONLY), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None  # nothing has been kept yet
        except OSError as error:
            raise ReporterError(f"state_path: {self.path} cannot be read: {reason(error)}") from error
        try:
            return self._gone_on_with(decode(content), registry)
        except FrameError as error:
            raise ReporterError(
                f"state_path: {self.path} cannot be used: {error} Move it away to begin from zero."
            ) from error
        except OSError as error:
            raise ReporterError(f"state_path: {error.filename} cannot be read: {reason(error)}") from error

    def _gone_on_with(self, kept: Kept, counting: UnifiedRegistry) -> Kept:
        """Return what is known after the frames in the journals. Raises OSError."""
        clock = _Then()
        registry = UnifiedRegistry(
            clock=clock, max_series=counting.max_series, max_tag_sets=counting.most_tag_sets, system=kept.machine
        )
        is_filled = False
        self._generation = max(self._generation, kept.generation)
        for generation in range(kept.generation, self._generation + 1):
            past = journal.read(self.path, generation)
            if past is None:
                continue
            if past.dropped:
                counting.counter("tapes.aggregator.bad_frames").increment()
                logging.getLogger(LOGGER_NAME).warning(
                    "The last %d bytes of the journal of the state in %s are damaged or were not written to the end: "
                    "they are left out.",
                    *(past.dropped, self.path),
                )
            for clock.now, message in past.entries:
                if not is_filled:
                    is_filled = True
                    fill(registry, kept, goes_on=True)
                registry.apply(message)
        return decode(encode(registry, system=kept.machine)) if is_filled else kept

    def _renewed(self, registry: UnifiedRegistry, *, goes_on: bool = True) -> bytes:
        """Return the state, and begin another journal that goes on from it."""
        self.flush()
        self._close_journal()
        self._generation += 1
        if goes_on:
            with suppress(OSError):  # whose reason is that of the state, too
                self._journal = Journal(self.path, self._generation)
        return encode(registry, self._generation)

    def _keep(self, content: bytes, generation: int, start: float) -> bool:
        try:
            self._put_in_place(content, generation)
        except OSError as error:
            self._failed(error)
            return False
        finally:
            self._took = took = time.monotonic() - start
            self._next = start + took + max(_INTERVAL, _SHARE * took)
        self._streak.succeeded()
        return True

    def _is_writing(self) -> bool:
        return self._writing is not None and self._writing.is_alive()

    def _failed(self, error: OSError) -> None:
        hope = "" if self._is_over else " It will be tried again."
        self._streak.failed(f"cannot be written: {reason(error)}{hope}")

    def _close_journal(self) -> None:
        closed, self._journal = self._journal, None
        if closed is not None:
            closed.close()

    def _put_in_place(self, content: bytes, generation: int) -> None:
        """Write the state of a generation, which has all that is in the journals of earlier ones."""
        temporary = f"{self.path}.new"
        try:
            with open(files.created(temporary), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if self._is_over and threading.current_thread() is self._writing:
                return  # too late: another aggregator may keep its state there
            os.replace(temporary, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        journal.remove(self.path, below=generation)


class _Then:
    """The clock of an aggregator that is no more, as it was when a frame came."""

    now = 0.0

    def monotonic(self) -> float:
        """Return when the frame came."""
        return self.now

    def time(self) -> float:
        """Return the time of day, which is nobody's business here."""
        return 0.0

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Return at once."""
        return wakeup.wait(0.0)


def reason(error: OSError) -> str:
    """Say why the file of a state cannot be used, and what to do about it."""
    return f"{error.strerror}. {remedy(error) or 'Choose another file.'}"
