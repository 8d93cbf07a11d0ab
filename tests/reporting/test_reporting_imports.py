"""What importing reporters costs, and what tools find in them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Optional, Union, get_type_hints

import pytest

import tapes.reporting
import tapes.reporting.http as reporting_http
import tapes.reporting.page as reporting_page
from tapes.clock import Clock
from tapes.pages import http, reporter
from tapes.registry import Registry
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.testing import MemoryReporter
from tests.conftest import RunScript


def test_importing_the_package_imports_no_reporter(run_script: RunScript) -> None:
    """`tapes.reporting` and its base classes need neither a server, nor an event loop, nor the plugins."""
    done = run_script("""
        import sys
        import tapes.reporting
        unwanted = "http.server asyncio pluggy multiprocessing logging tapes.plugins tapes.reporting.http"
        print([name for name in unwanted.split() if name in sys.modules])
    """)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_testing_package_needs_no_test_framework(run_script: RunScript) -> None:
    """`tapes.testing` can be imported where pytest is not installed."""
    done = run_script("""
        import sys
        sys.modules["pytest"] = None
        import tapes.testing
        print(sorted(tapes.testing.__all__))
    """)

    assert done.stdout == "['ManualClock', 'MemoryReporter', 'ReporterContract', 'isolated_registry']\n"


def test_the_package_can_be_shared_with_other_distributions() -> None:
    """The lines that let plugins put modules into the package are there, literally."""
    source = Path(str(tapes.reporting.__file__)).read_text(encoding="utf-8")

    assert "\nimport pkgutil\n" in source
    assert '\n__path__ = __import__("pkgutil").extend_path(__path__, __name__)\n' in source
    assert tapes.reporting.__all__ == ["Reporter", "ScheduledReporter"]


@pytest.mark.parametrize("kind", [ThreadedStreamReporter, HTTPReporter, MemoryReporter])
def test_the_types_of_options_can_be_evaluated(kind: Any) -> None:
    """The annotations of constructors are real types, on every Python that is supported."""
    hints = get_type_hints(kind.__init__)

    assert hints["registry"] == Optional[Registry]
    if kind is HTTPReporter:
        assert (hints["port"], hints["host"], hints["format"]) == (int, str, str)
    else:
        assert hints["interval"] == Union[timedelta, float]
        assert hints["clock"] == Optional[Clock]


def test_what_has_moved_is_found_under_its_documented_name_too() -> None:
    """The names in the documentation and in configs are those of the classes in `tapes.pages`."""
    assert reporting_http.HTTPReporter is http.HTTPReporter
    assert reporting_page.PageReporter is reporter.PageReporter
