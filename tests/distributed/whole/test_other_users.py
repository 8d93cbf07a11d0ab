"""Workers of another user than the aggregator's, as where a server gives up its rights when it has started."""

from __future__ import annotations

import grp
import os
import signal
from pathlib import Path

import pytest

from tapes.distributed import rendezvous
from tapes.distributed.configured import ConfiguredAggregator
from tapes.distributed.rendezvous import Rendezvous, meeting_at
from tapes.errors import ConfigError, ReporterError
from tests.distributed.whole.one_call import CALL, aggregators, await_end, configured, left_over
from tests.distributed.whole.programs import Place
from tests.servers.installed import missing


@pytest.mark.parametrize("options", ["group=65534", "mode=0o666"])
def test_workers_that_have_given_up_their_rights_are_counted(place: Place, options: str) -> None:
    """A master that is root starts the aggregator; its workers are somebody else, in the group that it names."""
    if os.geteuid() != 0:
        missing("only root can become another user: run the tests as root")
    place.folder.chmod(0o755)
    program = place.run(f"""
        import pwd  # where nobody may read the files of modules

        registry, served = counting()

        def work():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            registry.connect()
            served.increment(5)
            registry.close()

        with aggregator({options}):
            join(forked(work), forked(work))
    """)

    place.check(program, last={"served.value": 10})


WORK = """
import tapes
from tapes.distributed import member
from tapes.distributed.configured import ConfiguredAggregator

ConfiguredAggregator(FOLDER / "tapes.toml")  # imports what it takes, where others may read no modules

def worker(number, user, *groups):
    def work():
        os.setgroups(groups)
        os.setgid(groups[0])
        os.setuid(user)
        tapes.configure(FOLDER / "tapes.toml")
        tapes.counter("served").increment(number)
        noted("end")
    return forked(work)
"""

STRANGER, NOBODY, DAEMON = 2, 65534, 1
"""Users: a stranger to the group of nobody, and the other two, which are in it here."""


def shared(place: Place) -> Rendezvous:
    """Write a config for the group of nobody, and return where its processes meet."""
    if os.geteuid() != 0:
        missing("only root can become another user: run the tests as root")
    configured(place, f'group = "{grp.getgrgid(NOBODY).gr_name}"')
    place.folder.chmod(0o777)
    report = place.folder / "report"
    report.touch()
    report.chmod(0o666)
    return meeting_at(str(place.folder / "tapes.toml"), NOBODY)


def test_the_users_of_a_group_are_one_picture(place: Place) -> None:
    """Without an address in the config, by one call; one who is not in the group says so, and is kept out."""
    at = shared(place)
    program = place.run(
        WORK
        + f"""
first = worker(100, 0, 0)
others = worker(1, {NOBODY}, {NOBODY}), worker(10, {DAEMON}, {DAEMON}, {NOBODY})
stranger = worker(1000, {STRANGER}, {STRANGER})
join(first, *others, stranger)
"""
    )

    assert place.report().await_last({"served.value": 111}) == {"served.value": 111}
    place.note("end")
    assert program.ended() == 0
    lines = [line for line in program.lines() if "stops, and no aggregator" not in line]
    assert len(lines) == 1
    assert f"is not in the group {grp.getgrgid(NOBODY).gr_name!r}: add the user to it" in lines[0]
    await_end(at)


def test_the_next_aggregator_may_be_another_users(place: Place) -> None:
    """It takes in the state of the one before, which the group shares."""
    at = shared(place)
    place.run(CALL + "served.increment(1)").ended()
    place.report().await_last({"served.value": 1})
    os.kill(aggregators(place)[0], signal.SIGKILL)
    for name in left_over(at):
        path = Path(at.socket).parent / name
        status = path.stat()
        assert (status.st_gid, status.st_mode & 0o777) == (NOBODY, 0o660)
        os.chown(path, NOBODY, -1)
    place.run(CALL + "served.increment(10)").ended()

    assert place.report().await_last({"served.value": 11}) == {"served.value": 11}
    await_end(at)


def made_by(user: int, group: int, mode: int, path: str) -> None:
    """Make a folder as another user would."""
    os.mkdir(path)
    os.chown(path, user, group)
    os.chmod(path, mode)


IMPOSTORS = {
    "of another group": (NOBODY, STRANGER, 0o2770, "belongs to the group 'bin'"),
    "of a user outside the group": (STRANGER, NOBODY, 0o2770, "belongs to the user bin, who is not in the group"),
    "that others can enter": (NOBODY, NOBODY, 0o2775, "has the mode 2775: chmod 2770"),
}


@pytest.mark.parametrize("name", IMPOSTORS)
def test_a_folder_that_somebody_else_has_made_is_not_used(
    place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody outside the group can put an aggregator of their own where the group meets."""
    shared(place)
    user, group, mode, said = IMPOSTORS[name]
    folder = str(place.folder / "root")
    os.mkdir(folder)
    monkeypatch.setattr(rendezvous, "_ROOTS", (folder,))
    made_by(user, group, mode, f"{folder}/tapes-g{NOBODY}")

    with pytest.raises(ReporterError, match=said):
        rendezvous.group_folder(NOBODY)


def test_a_root_in_which_all_may_replace_files_is_not_used(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can replace the folder can put another one in its place."""
    folder = str(place.folder / "root")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    monkeypatch.setattr(rendezvous, "_ROOTS", (folder,))

    with pytest.raises(ReporterError, match="lets every user replace what is in it: chmod"):
        rendezvous.private_folder()


def test_a_mode_needs_an_address(place: Place) -> None:
    """The folder lets nobody else in, whatever the mode of the socket is."""
    configured(place, "mode = 0o666")

    with pytest.raises(ConfigError, match="give group instead, or a socket_addr too"):
        ConfiguredAggregator(str(place.folder / "tapes.toml"))
