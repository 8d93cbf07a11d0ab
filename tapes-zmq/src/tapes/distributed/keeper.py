"""The keeper: writes the state of an aggregator to a file and journals, and restores it at the next start."""

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
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.state_format import Kept, decode, encode, fill
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterError
from tapes.reporting.trouble import remedy
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.clock import Waitable

_INTERVAL = 5.0  # seconds between two writes of the state, at least
_PAUSE_FACTOR = 20  # pause between two writes, at least, as a multiple of the time that a write took
_LONG = 1.0  # seconds; if the last write took longer, the state is not written at the end
_LONGEST = 1 << 28  # bytes of a journal after which the state is written in any case
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class Keeper:
    """Keeps the state of a registry in a file that is replaced now and then, and the frames since then in a journal.

    So whatever was taken in survives the process, at a cost that grows with what is new. The file is always whole. It
    is synced to disk, in a thread of its own; the journal is not. Gauges are not kept: live workers send theirs again.
    Not thread-safe.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._streak = Streak(LOGGER_NAME, f"The state of the aggregator in {self.path}")
        self._next = 0.0
        self._again = math.inf  # when to write earlier than that, because the journal failed
        self._generation = 0
        self._journal: Optional[Journal] = None
        self._writing: Optional[threading.Thread] = None
        self._took = 0.0  # seconds that the last write of the state took
        self._is_over = False

    def restore(self, registry: UnifiedRegistry) -> bool:
        """Fill a new registry with the kept state, and return whether there was any.

        Raises ReporterError if the file cannot be used or replaced. A full disk is no error: it is logged, and the old
        state stays until there is room.
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
        """Do the same without writing. Raises ReporterError if the file cannot be used."""
        kept = self._read(registry)
        if kept is not None:
            fill(registry, kept)
        return kept is not None

    def discard(self, older: float = 0.0) -> None:
        """Remove the state and its journals, unless something was written in the last `older` seconds."""
        folder, name = os.path.split(self.path)
        names = [each for each in os.listdir(folder) if each.startswith(f"{name}.") and not each.endswith(".lock")]
        found = [self.path, *(os.path.join(folder, each) for each in names)]
        written = []
        for path in found:
            with suppress(OSError):
                written.append(os.lstat(path).st_mtime)
        if written and time.time() - max(written) < older:
            return
        self._close_journal()
        for path in found:
            with suppress(OSError):
                os.unlink(path)

    def add_frame(self, registry: UnifiedRegistry, message: bytes) -> None:
        """Add a frame that the registry has taken in to the journal. The next `flush()` writes it."""
        if self._journal is not None:
            self._journal.add(registry.clock.monotonic(), message)

    def flush(self) -> bool:
        """Write the added frames to the journal. Return False on a failure, which is logged."""
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
        """Write the state if that is due, the journal is long, or the journal failed."""
        is_long = self._journal is not None and self._journal.size > _LONGEST
        start = time.monotonic()
        if (start >= min(self._next, self._again) or is_long) and not self._is_writing():
            self._again = math.inf
            content = self._renewed(registry)
            arguments = (content, self._generation, start)
            self._writing = threading.Thread(target=self._keep, args=arguments, name="tapes-state", daemon=True)
            self._writing.start()

    def keep(self, registry: UnifiedRegistry) -> bool:
        """Write for the last time. Return False on a failure, which is logged.

        Writes the state. If that would take long, writes only the journal, which goes on from the last state.
        """
        if self._writing is not None:
            self._writing.join(_INTERVAL)
        self._is_over = True
        if self._journal is not None and (self._is_writing() or self._took > _LONG):
            return self.flush()
        content = self._renewed(registry, goes_on=False)
        return self._keep(content, self._generation, time.monotonic())

    def _read(self, registry: UnifiedRegistry) -> Optional[Kept]:
        """Return the kept state; None if there is none. Counts damage of journals. Raises ReporterError."""
        try:
            self._generation = journal.newest(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None  # the first write reports it
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
            return self._with_journals(decode(content), registry)
        except FrameError as error:
            raise ReporterError(
                f"state_path: {self.path} cannot be used: {error} Move it away to begin from zero."
            ) from error
        except OSError as error:
            raise ReporterError(f"state_path: {error.filename} cannot be read: {reason(error)}") from error

    def _with_journals(self, kept: Kept, counting: UnifiedRegistry) -> Kept:
        """Return the state after the frames in the journals. `counting` counts their damage. Raises OSError."""
        clock = _JournalClock()
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
        """Return the encoded state, and begin a journal that goes on from it."""
        self.flush()
        self._close_journal()
        self._generation += 1
        if goes_on:
            with suppress(OSError):  # the write of the state fails for the same reason, and reports it
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
            self._next = start + took + max(_INTERVAL, _PAUSE_FACTOR * took)
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
        """Replace the state file, and remove the journals of earlier generations, which the new state includes."""
        temporary = f"{self.path}.new"
        try:
            with open(files.created(temporary), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if self._is_over and threading.current_thread() is self._writing:
                return  # too late: another aggregator may already keep its state there
            os.replace(temporary, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        journal.remove(self.path, below=generation)


class _JournalClock:
    """The clock of the earlier aggregator, set to the time when each frame came."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the time when the frame came."""
        return self.now

    def time(self) -> float:
        """Return 0: the time of day is not used here."""
        return 0.0

    def wait(self, wakeup: Waitable, timeout: float) -> bool:
        """Return at once."""
        return wakeup.wait(0.0)


def reason(error: OSError) -> str:
    """Return why a state file cannot be used, with the remedy."""
    return f"{error.strerror}. {remedy(error) or 'Choose another file.'}"
