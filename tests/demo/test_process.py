"""The shop as a process: what it is configured with, and what is said when it does not open or close as it should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import pytest

from examples.shop.destination import Destination
from examples.shop.process import CONFIG, Reports, Shop, ShopError, configuration, open_shop
from tapes.config.checking import check

TEMPLATE = """\
# As JSON.
[reporters.tornado-http]
port = 8889

# To a StatsD.
#[reporters.tornado-statsd]
#host = "localhost"
#port = 8125
#prefix = "shop"
"""

WITHOUT_STATSD = """\
# As JSON.
[reporters.tornado-http]
port = 0

# To a StatsD.
#[reporters.tornado-statsd]
#host = "localhost"
#port = 8125
#prefix = "shop"
"""

WITH_STATSD = """\
# As JSON.
[reporters.tornado-http]
port = 0

# To a StatsD.
[reporters.tornado-statsd]
host = "::1"
port = 9999
prefix = "shop"
"""


@pytest.mark.parametrize(
    ("statsd", "expected"), [(None, WITHOUT_STATSD), (Destination("::1", 9999), WITH_STATSD)], ids=["without", "with"]
)
def test_the_configuration_has_free_ports_and_a_statsd_if_there_is_one(
    statsd: Optional[Destination], expected: str
) -> None:
    """The rows for a StatsD are used where one is given, and left out where none is."""
    assert configuration(TEMPLATE, statsd) == expected


@pytest.mark.parametrize(
    ("statsd", "expected"),
    [
        (
            None,
            [
                "TornadoHTTPReporter(127.0.0.1:0)",
                "TornadoStreamReporter(interval=1, path='shop-metrics.jsonl')",
            ],
        ),
        (
            Destination("::1", 9999),
            [
                "TornadoHTTPReporter(127.0.0.1:0)",
                "TornadoStreamReporter(interval=1, path='shop-metrics.jsonl')",
                "TornadoStatsdReporter(interval=1, udp://[::1]:9999, prefix='demo')",
            ],
        ),
    ],
    ids=["without", "with"],
)
def test_the_configuration_of_the_shop_is_right(
    statsd: Optional[Destination], expected: list[str], tmp_path: Path
) -> None:
    """The file that comes with the shop has no faults, its rows for a StatsD included."""
    config = tmp_path / "tapes.toml"
    config.write_text(configuration(CONFIG.read_text(), statsd))

    assert [repr(found.reporter) for found in check(config).reporters] == expected


def test_the_shop_is_heard() -> None:
    """What it says of itself is understood; other lines are nothing to stumble over."""
    shop = Shop()

    for line in (
        "Its metrics go to tornado-http: TornadoHTTPReporter(127.0.0.1:8889)\n",
        "Its metrics go to tornado-statsd: TornadoStatsdReporter(interval=1, udp://localhost:8125, prefix='shop')\n",
        "The shop is open at http://127.0.0.1:8888/\n",
        "It is a fine day.\n",
        "Reports of tornado-http: 1 made, 0 failed\n",
        "Reports of tornado-statsd: 7 made, 2 failed, the last of these: udp://localhost:8125: Connection refused\n",
    ):
        shop.hear(line)

    assert (shop.url, shop.metrics_url, shop.prefix) == ("http://127.0.0.1:8888/", "http://127.0.0.1:8889/", "shop")
    assert shop.reports == {
        "tornado-http": Reports(1, 0, None),
        "tornado-statsd": Reports(7, 2, "udp://localhost:8125: Connection refused"),
    }


def test_a_shop_that_does_not_open_is_reported_with_its_own_words(tmp_path: Path) -> None:
    """What the shop said before it ended is in the error."""
    command = [sys.executable, "-c", "raise SystemExit('There are no shelves.')"]

    with (
        pytest.raises(ShopError, match=r"did not open: exit code 1\.\nThere are no shelves\."),
        open_shop(command, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("at_the_end", "expected"),
    [
        ("signal.SIG_DFL", "The shop did not close well: ended by SIGTERM.\n"),
        ("lambda *_: sys.exit('The till is stuck.')", "The shop did not close well: exit code 1.\nThe till is stuck."),
    ],
)
def test_a_shop_that_does_not_close_in_good_order_is_reported(at_the_end: str, expected: str, tmp_path: Path) -> None:
    """How the process ended is in the error, and what it said."""
    script = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, {at_the_end})
print("The shop is open at http://127.0.0.1:1/", flush=True)
while True:
    time.sleep(600)
"""

    with pytest.raises(ShopError) as reported, open_shop([sys.executable, "-c", script], tmp_path) as shop:
        pass

    assert shop.url == "http://127.0.0.1:1/"
    assert str(reported.value) == expected
