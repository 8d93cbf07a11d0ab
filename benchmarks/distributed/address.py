"""Where processes meet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.distributed.child import Child


@contextmanager
def aggregator() -> Iterator[tuple[str, Child]]:
    """Run an aggregator, and give its address and whom to ask."""
    # Not the folder for temporary files: the path of a socket may have some hundred characters at the most.
    with tempfile.TemporaryDirectory(prefix="tapes-", dir="/tmp") as folder:
        address = f"ipc://{Path(folder, 'a')}"
        with Child("aggregator", address) as asked:
            asked.ask("usage")  # it runs
            yield address, asked


@contextmanager
def multiprocess_folder() -> Iterator[dict[str, str]]:
    """Give the environment in which prometheus_client keeps its files in a new folder."""
    with tempfile.TemporaryDirectory(prefix="prometheus-") as folder:
        yield {"PROMETHEUS_MULTIPROC_DIR": folder}
