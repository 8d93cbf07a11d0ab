"""The shop as seen from outside: what it says is understood, and what goes wrong is said."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from examples.shop.process import ShopError, open_shop

SUPERVISOR = """
import os, signal, sys, time

def fork():
    pid = os.fork()
    while not pid:
        time.sleep(600)
    return pid

def end(*_):
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    sys.exit()

def replace():
    workers[0] = fork()
    print("Worker", died, "has ended by SIGKILL and was replaced by", workers[0], flush=True)

workers = [fork(), fork()]
signal.signal(signal.SIGTERM, end)
print("It is a fine day.")
print("Its workers are", ", ".join(map(str, workers)))
print("The shop is open at http://127.0.0.1:1/", flush=True)
while True:
    died = os.waitpid(-1, os.WNOHANG)[0]
    if died:
        replace()
    time.sleep(0.02)
"""
"""What the shop looks like from outside, with workers that do nothing.

It waits in small pieces: a signal that comes just when it begins to wait does not wake it.
"""


def script(text: str) -> list[str]:
    """Return how to run a shop that is a script of the test's own."""
    return [sys.executable, "-c", text]


def is_alive(pid: int) -> bool:
    """Whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_shop_is_heard(tmp_path: Path) -> None:
    """Where it is and who serves in it is understood; other lines are nothing to stumble over."""
    with open_shop(script(SUPERVISOR), tmp_path) as shop:
        victim, other = shop.workers

        assert (shop.url, shop.metrics_url) == ("http://127.0.0.1:1/", "http://127.0.0.1:1/metrics")
        assert is_alive(victim)
        assert is_alive(other)


def test_a_worker_is_replaced(tmp_path: Path) -> None:
    """The one that was killed is gone, and the one that took its place is returned and takes its place in the list."""
    with open_shop(script(SUPERVISOR), tmp_path) as shop:
        victim, other = shop.workers

        successor = shop.replace(victim)

        assert shop.workers == [successor, other]
        assert is_alive(successor)
        assert not is_alive(victim)  # it has been waited for


def test_a_worker_that_nobody_replaces_is_reported(tmp_path: Path) -> None:
    """A shop that ends when a worker does cannot go on."""
    text = SUPERVISOR.replace("    replace()", "    os.kill(workers[1], 9); sys.exit()")

    with (
        pytest.raises(ShopError, match=r"No worker has replaced worker \d+\."),
        open_shop(script(text), tmp_path) as shop,
    ):
        shop.replace(shop.workers[0])


def test_metrics_that_do_not_come_are_reported(tmp_path: Path) -> None:
    """The address is named where they were looked for."""
    with (
        pytest.raises(ShopError, match=r"No metrics came from 'http://127.0.0.1:1/metrics': .*refused"),
        open_shop(script(SUPERVISOR), tmp_path) as shop,
    ):
        shop.stats()


def test_a_shop_that_does_not_open_is_reported_with_its_own_words(tmp_path: Path) -> None:
    """What the shop said before it ended is in the error."""
    with (
        pytest.raises(ShopError, match=r"did not open: exit code 1\.\nThere are no shelves\."),
        open_shop(script("raise SystemExit('There are no shelves.')"), tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("at_the_end", "expected"),
    [
        ("signal.SIG_DFL", "The shop did not close cleanly: ended by SIGTERM.\n"),
        (
            "lambda *_: sys.exit('The till is stuck.')",
            "The shop did not close cleanly: exit code 1.\nThe till is stuck.",
        ),
    ],
)
def test_a_shop_that_does_not_close_in_good_order_is_reported(at_the_end: str, expected: str, tmp_path: Path) -> None:
    """How the process ended is in the error, and what it said."""
    text = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, {at_the_end})
print("The shop is open at http://127.0.0.1:1/", flush=True)
while True:
    time.sleep(0.02)
"""

    with pytest.raises(ShopError) as reported, open_shop(script(text), tmp_path) as shop:
        pass

    assert shop.url == "http://127.0.0.1:1/"
    assert str(reported.value) == expected


def test_nothing_is_left_of_a_shop_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not close when it is told to is killed, and so are its workers, whose output is read to its end."""
    text = SUPERVISOR.replace("(signal.SIGTERM, end)", "(signal.SIGTERM, signal.SIG_IGN)")

    with pytest.raises(ShopError, match="close cleanly: ended by SIGKILL"), open_shop(script(text), tmp_path):
        monkeypatch.setattr("examples.shop.process.DEADLINE", 0.1)
