"""What a server is set to do that reporters suffer from is said, with the remedy."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Dict, List

import pytest

from tapes.registry import Registry
from tapes.reporting import reporter
from tapes.testing import MemoryReporter


def uwsgi(**attributes: Any) -> ModuleType:
    """Return what stands for the module that is there inside uWSGI."""
    module = ModuleType("uwsgi")
    vars(module).update(attributes)
    return module


@pytest.mark.parametrize(
    ("attributes", "remedies"),
    [
        ({"has_threads": 0}, ["enable-threads = true"]),
        ({"has_threads": 1, "opt": {"die-on-term": True}}, []),
        ({"has_threads": 1, "opt": {"die-on-term": True, "gevent": b"9"}}, ["gracefully_kill_them_all"]),
        ({"opt": {"gevent": b"9"}}, []),
        (
            {"has_threads": 0, "opt": {"die-on-term": True, "async": b"9"}},
            ["enable-threads = true", "gracefully_kill_them_all"],
        ),
        ({"has_threads": 1, "opt": {"master": True, "workers": b"2"}}, []),
        ({}, []),
        ({"opt": None}, []),
    ],
)
def test_settings_of_uwsgi_that_lose_reports_are_warned_of_once(
    attributes: Dict[str, Any],
    remedies: List[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many reporters are started. Reports are sent all the same."""
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi(**attributes))
    monkeypatch.setattr(reporter, "_warned", set())
    for _ in range(2):
        with MemoryReporter(registry=Registry()) as memory:
            pass
        assert memory.snapshots

    messages = caplog.messages
    assert len(messages) == len(remedies)
    for message, remedy in zip(messages, remedies):
        assert remedy in message


def test_outside_of_uwsgi_nothing_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """As nearly everywhere."""
    monkeypatch.setattr(reporter, "_warned", set())
    with MemoryReporter(registry=Registry()):
        pass

    assert caplog.messages == []
