"""Another machine, as far as the network is concerned."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
from pathlib import Path
from typing import List

from tests.servers.installed import ip_command, missing
from tests.servers.processes import until

ATTEMPTS = 5  # each with another address


class OtherMachine:
    """A network namespace with an address of its own, joined to this one by a cable, while it is entered.

    It is so near that what it refuses is refused at once. `hide()` and `show()` make it as far away as a test needs.
    """

    def __init__(self) -> None:
        """Skip the test where no network can be made."""
        self._ip = ip_command()
        self._name = f"tapes-{os.getpid()}-{random.randrange(1 << 16):x}"
        self._cable = f"tapes{random.randrange(1 << 32):x}"
        self.inside: List[str] = [self._ip, "netns", "exec", self._name]
        """What is put before a command to run it there."""
        self.host = ""
        """Its address."""

    def __enter__(self) -> OtherMachine:
        """Make the network."""
        with contextlib.ExitStack() as stack:
            refusal = self._try("netns", "add", self._name)
            if refusal:
                missing(f"no network can be made: {refusal}")
            stack.callback(self._try, "netns", "delete", self._name)
            # With the namespace goes its end of the cable, and with that ours, but only some time later.
            stack.callback(self._try, "link", "delete", self._cable)
            self._do("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._name)
            self._address()
            self._do("link", "set", self._cable, "up")
            self._do("-n", self._name, "link", "set", "lo", "up")
            self._do("-n", self._name, "link", "set", "eth0", "up")
            # Systems refuse a few datagrams a second, and drop the rest silently. Let this one refuse all.
            unlimited = ("sh", "-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit")
            self._do("netns", "exec", self._name, *unlimited)
            # Ask for the way to it often and for long, as far as this cable goes.
            neighbours = Path("/proc/sys/net/ipv4/neigh", self._cable)
            (neighbours / "retrans_time_ms").write_text("20")
            (neighbours / "mcast_solicit").write_text("3000")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the network."""
        self._stack.close()

    def hide(self) -> None:
        """Let everything that is sent to it from now on be held back on the way, until it is shown again."""
        self._do("-n", self._name, "link", "set", "eth0", "arp", "off")
        self._do("neighbour", "flush", "dev", self._cable)

    def show(self) -> None:
        """Let what was held back arrive."""
        self._do("-n", self._name, "link", "set", "eth0", "arp", "on")

    def wait_for_refusals(self, port: int) -> None:
        """Show it, and return when everything that was sent to it before has been refused. Nobody listens at `port`."""
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.connect((self.host, port))
            last.send(b"")
            self.show()
            until(lambda: last.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the last datagram was refused")

    def _address(self) -> None:
        """Give both ends addresses that nobody has: of a range that is set aside for tests of networks (RFC 2544)."""
        refusal = ""
        for _ in range(ATTEMPTS):
            network = f"198.18.{random.randrange(256)}.{random.randrange(64) * 4}"
            ours, theirs = (f"{network.rpartition('.')[0]}.{int(network.rpartition('.')[2]) + end}" for end in (1, 2))
            refusal = self._try("address", "add", f"{ours}/30", "dev", self._cable)
            if not refusal:
                self._do("-n", self._name, "address", "add", f"{theirs}/30", "dev", "eth0")
                self.host = theirs
                return
        raise AssertionError(f"No address could be given: {refusal}")

    def _do(self, *arguments: str) -> None:
        refusal = self._try(*arguments)
        assert not refusal, f"{self._ip} {' '.join(arguments)}: {refusal}"

    def _try(self, *arguments: str) -> str:
        """Run `ip` and return what is wrong, or nothing."""
        done = subprocess.run([self._ip, *arguments], capture_output=True, text=True, timeout=30, check=False)
        return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""
