"""Workers of another user than the aggregator's, as where a server gives up its rights when it has started."""

from __future__ import annotations

import os

import pytest

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
