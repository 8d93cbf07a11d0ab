"""The command line: what it prints, word for word, and how it ends."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import tapes
from tapes.registry import Registry
from tapes.reporting.http import HTTPReporter

if TYPE_CHECKING:
    from tests.plugins.distributions import Distributions

V = tapes.__version__

SHOP = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_reporters():
    return {"shop": "shop_leaf:Shop", "http": "shop_leaf:HTTP"}
"""


KINDS = (
    "\n"
    "KIND       DISTRIBUTION      STATUS\n"
    f"counter    tapes-core {V}  ok\n"
    f"gauge      tapes-core {V}  ok\n"
    f"histogram  tapes-core {V}  ok\n"
    f"meter      tapes-core {V}  ok\n"
    f"timer      tapes-core {V}  ok\n"
)


def test_plugins_of_core(distributions: Distributions) -> None:
    """With core alone its plugin, reporters, format, route and kinds are listed, and the exit status is 0."""
    done = distributions.run_module("tapes", "plugins")

    assert done == (
        0,
        (
            "PLUGIN  DISTRIBUTION      STATUS\n"
            f"core    tapes-core {V}  ok\n"
            "\n"
            "REPORTER  DISTRIBUTION      STATUS\n"
            f"http      tapes-core {V}  ok\n"
            f"stream    tapes-core {V}  ok\n"
            "\n"
            "FORMAT  DISTRIBUTION      STATUS\n"
            f"json    tapes-core {V}  ok\n"
            "\n"
            "ROUTE  DISTRIBUTION      STATUS\n"
            f"/      tapes-core {V}  ok\n"
            f"{KINDS}"
        ),
        "",
    )


def test_plugins_with_faults(distributions: Distributions) -> None:
    """What is broken, ignored or blocked is listed with the reason, and the exit status is 1."""
    distributions.install("bad-metrics", {"bad": "raise ValueError('no')"}, version="2.1")
    distributions.install("shop-metrics", {"shop": SHOP})
    distributions.install("quiet-metrics", {"quiet": "raise ValueError"})
    (distributions.root / "tapes.toml").write_text("nonsense = 1\nplugins = {block = ['quiet']}\n")

    done = distributions.run_module("tapes", "plugins", TAPES_CONFIG="tapes.toml")

    cause = "importing shop_leaf:Shop raised ModuleNotFoundError: No module named 'shop_leaf'"
    assert done == (
        1,
        (
            "PLUGIN  DISTRIBUTION       STATUS\n"
            f"core    tapes-core {V}   ok\n"
            "bad     bad-metrics 2.1    broken: loading 'bad' raised ValueError: no\n"
            "quiet   quiet-metrics 1.0  blocked\n"
            f"shop    shop-metrics 1.0   ok: The reporter 'http' is ignored: the name belongs to tapes-core {V}\n"
            "\n"
            "REPORTER  DISTRIBUTION      STATUS\n"
            f"http      tapes-core {V}  ok\n"
            f"shop      shop-metrics 1.0  broken: The reporter 'shop' of shop-metrics 1.0 cannot be used: {cause}. "
            "Install it with its dependencies: pip install shop-metrics.\n"
            f"stream    tapes-core {V}  ok\n"
            "\n"
            "FORMAT  DISTRIBUTION      STATUS\n"
            f"json    tapes-core {V}  ok\n"
            "\n"
            "ROUTE  DISTRIBUTION      STATUS\n"
            f"/      tapes-core {V}  ok\n"
            f"{KINDS}"
        ),
        "",
    )


def test_blocked_plugin_is_no_fault(distributions: Distributions) -> None:
    """A plugin that is blocked by the file named on the command line does not count as broken."""
    distributions.install("bad-metrics", {"bad": "raise ValueError('no')"})
    (distributions.root / "tapes.toml").write_text("plugins = {block = ['bad']}\n")

    done = distributions.run_module("tapes", "plugins", "--config", "tapes.toml")

    assert (done.status, done.lines[2]) == (0, "bad     bad-metrics 1.0   blocked")


def test_plugins_with_a_missing_file(distributions: Distributions) -> None:
    """A configuration that cannot be read is an error of one sentence."""
    done = distributions.run_module("tapes", "plugins", "--config", "missing.toml")

    assert done == (
        1,
        "",
        "missing.toml has 1 fault, nothing was started:\n  - it cannot be read: No such file or directory\n",
    )


def test_check_of_a_right_file(distributions: Distributions) -> None:
    """A right configuration is printed, reporter by reporter, and nothing of it is started."""
    (distributions.root / "tapes.toml").write_text(
        "max_tag_sets = 100\nplugins.block = ['quiet']\n"
        "[reporters.http]\nport = 8889\n"
        "[reporters.file]\ntype = 'stream'\ninterval = 10\npath = 'stats.jsonl'\n"
    )

    done = distributions.run_module("tapes", "check", "tapes.toml")

    assert done == (
        0,
        (
            "tapes.toml is valid.\n"
            "max_tag_sets = 100\n"
            "plugins.block = ['quiet']\n"
            f"reporters.http: HTTPReporter of tapes-core {V}\n"
            "  port = 8889\n"
            f"reporters.file: ThreadedStreamReporter of tapes-core {V}\n"
            "  interval = 10\n"
            "  path = 'stats.jsonl'\n"
        ),
        "",
    )
    assert not (distributions.root / "stats.jsonl").exists()


def test_check_of_the_file_in_the_environment(distributions: Distributions) -> None:
    """Without a file the one that TAPES_CONFIG names is checked."""
    (distributions.root / "tapes.toml").write_text("reporters = {}\n")

    done = distributions.run_module("tapes", "check", TAPES_CONFIG="tapes.toml")

    assert done == (0, "tapes.toml (named by TAPES_CONFIG) is valid.\nIt has no reporters.\n", "")


def test_check_of_a_faulty_file(distributions: Distributions) -> None:
    """Every fault is printed, without a traceback, and the exit status is 1."""
    (distributions.root / "tapes.toml").write_text("[reporters.http]\nprot = 1\nhost = 5\n")

    done = distributions.run_module("tapes", "check", "tapes.toml")

    assert done == (
        1,
        "",
        (
            "tapes.toml has 3 faults, nothing was started:\n"
            "  - reporters.http.prot: unknown option, did you mean 'port'?; "
            "HTTPReporter takes port, host, format, allowed_hosts\n"
            "  - reporters.http.host: 5 (int) is not a string\n"
            "  - reporters.http.port: missing, HTTPReporter needs an integer\n"
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--help"], "usage: python -m tapes [-h] [--version] COMMAND ..."),
        (["status", "--help"], "exit status: 0 if an aggregator runs and all is well, 1 if something is wrong."),
        (["show", "--help"], "exit status: 0 if they were shown, also when --watch ends by Ctrl-C; 1 if there is"),
        (["plugins", "--help"], "exit status: 0 if everything works, 1 if a plugin, or something that it provides,"),
        (["check", "--help"], "exit status: 0 if nothing is wrong, 1 if something is."),
    ],
)
def test_help(distributions: Distributions, arguments: list[str], told: str) -> None:
    """Each command explains itself and its exit status."""
    done = distributions.run_module("tapes", *arguments)

    assert done.status == 0
    assert told in done.output


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["check", "a", "b"]])
def test_wrong_use(distributions: Distributions, arguments: list[str]) -> None:
    """A command that does not exist is a usage error with status 2."""
    done = distributions.run_module("tapes", *arguments)

    assert (done.status, done.output) == (2, "")
    assert done.errors.startswith("usage: python -m tapes ")


def test_reader_that_goes_away(distributions: Distributions) -> None:
    """When nobody reads the output any more the command ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-m", "tapes", "plugins"],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=distributions.environment(),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")


def test_interruption(distributions: Distributions) -> None:
    """Ctrl-C ends the command without a traceback."""
    distributions.install(
        "slow-metrics",
        {"slow": "import sys, time\nsys.stderr.write('.')\nsys.stderr.flush()\nwhile True:\n    time.sleep(0.02)\n"},
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-m", "tapes", "plugins"], stderr=subprocess.PIPE, env=distributions.environment()
    ) as process:
        assert process.stderr is not None
        process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()

    assert (process.returncode, rest) == (130, b"")


def test_versions(distributions: Distributions) -> None:
    """Of core, of each distribution that adds to it, which is not imported, and of Python."""
    distributions.install("bad-metrics", {"bad": "raise ValueError('no')"}, version="2.1")

    done = distributions.run_module("tapes", "--version")

    python = f"Python {platform.python_version()} ({platform.python_implementation()})"
    assert done == (0, f"tapes-core {V}\nbad-metrics 2.1\n{python}\n", "")


def test_page_of_a_program(distributions: Distributions) -> None:
    """With core alone the page at a URL is shown, as a table or as JSON."""
    registry = Registry()
    registry.counter("shop.served").increment(3)
    registry.meter("hits").mark(0)
    with HTTPReporter(0, registry) as reporter:
        table = distributions.run_module("tapes", "show", reporter.url)
        json = distributions.run_module("tapes", "show", reporter.url, "--json", "--name", "shop.*")
        nothing = distributions.run_module("tapes", "show", reporter.url, "--name", "nobody")

    assert table == (
        0,
        "COUNTER OR GAUGE  value\nshop.served           3\n\nMETER  count  m1  m5  m15\nhits       0   0   0    0\n",
        "",
    )
    assert json == (0, '{\n  "shop": {\n    "served": {\n      "value": 3\n    }\n  }\n}\n', "")
    assert nothing == (0, "There are no metrics 'nobody'.\n", "")


@pytest.mark.parametrize("command", ["check", "status", "show"])
def test_aggregator_that_is_not_installed(distributions: Distributions, command: str) -> None:
    """Who stands behind the table is another distribution, which is named."""
    (distributions.root / "tapes.toml").write_text("[aggregator]\n[reporters.http]\nport = 8889\n")

    done = distributions.run_module("tapes", command, "tapes.toml")

    assert (done.status, done.output) == (1, "")
    assert "There is no table 'aggregator'. It comes with pip install tapes-zmq. Installed: none." in done.errors


@pytest.mark.parametrize("command", ["status", "show"])
def test_configuration_without_an_aggregator(distributions: Distributions, command: str) -> None:
    """There is nobody to ask, and the error says what to do."""
    (distributions.root / "tapes.toml").write_text("reporters = {}\n")

    done = distributions.run_module("tapes", command, TAPES_CONFIG="tapes.toml")

    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith(
        "tapes.toml (named by TAPES_CONFIG) has 1 fault, nothing was started:\n  - aggregator: "
    )
    assert done.errors.endswith("or look at the page of one: python -m tapes show URL\n")


def test_wrong_intervals(distributions: Distributions) -> None:
    """Whoever watches gives seconds."""
    done = distributions.run_module("tapes", "show", "--watch", "0")

    assert done.status == 2
    assert "argument --watch: invalid number of seconds from 0.1 value: '0'" in done.errors
