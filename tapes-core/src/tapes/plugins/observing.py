"""Calls of plugins' observing hooks: each implementation separately, and exactly once for each metric."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Dict, List, Tuple

from tapes import observers
from tapes.foreign import has_to_pass
from tapes.plugins.loading import describe
from tapes.process import forking
from tapes.registry import Registry
from tapes.streak import Streak

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pluggy import HookImpl

    from tapes.instruments import Instrument
    from tapes.plugins.loading import Plugin
    from tapes.reporting import Reporter


class Observer:
    """One implementation of a hook. It never raises, and its own actions do not call it again. Thread-safe."""

    def __init__(self, plugin: Plugin, hook: str, implementation: HookImpl) -> None:
        self.plugin = plugin
        self.hook = hook
        self._function = implementation.function
        self._argnames = implementation.argnames
        self._streak = Streak("tapes.plugins", f"The hook {hook} of the plugin {plugin.name!r} of {plugin.origin}")
        self._here = threading.local()

    def notify(self, arguments: Mapping[str, object]) -> None:
        """Call the implementation with the arguments of the hook that it takes."""
        # It may itself cause an event: an observer of new metrics may count them in its own metric.
        if getattr(self._here, "being_notified", False):
            return
        self._here.being_notified = True
        try:
            self._function(*[arguments[name] for name in self._argnames])
        except BaseException as error:  # it must not affect code that makes a metric
            if has_to_pass(error):
                raise
            self._streak.failed(f"raised {describe(error)}; nothing else is affected by it.", error)
        else:
            self._streak.succeeded()
        finally:
            self._here.being_notified = False


class Observers:
    """All observers of the loaded plugins, as two callbacks for `tapes.observers`."""

    def __init__(self) -> None:
        self._observers: Tuple[Observer, ...] = ()
        # A metric that is made while `catch_up` announces the existing ones would be announced twice. So each
        # announcement first enters the metric here. If the metric's maker announces it later, the entry is removed:
        # no other announcement follows.
        self._announced: Dict[int, Tuple[Instrument]] = {}
        self._catching_up_in: int | None = None

    def use(self, new: Iterable[Observer]) -> None:
        """Call these observers from now on."""
        self._observers = tuple(new)
        self._catching_up_in = os.getpid()
        hooks = {observer.hook for observer in self._observers}
        if "tapes_report_failed" in hooks:
            observers.report_failed.append(self.report_failed)
        if "tapes_metric_created" in hooks:
            observers.metric_created.append(self.metric_created)

    def catch_up(self) -> None:
        """Announce all existing metrics to the observers."""
        try:
            if self.metric_created in observers.metric_created:
                for registry in _live_registries():
                    for metric in registry:
                        if self._is_first(metric):
                            self._notify("tapes_metric_created", {"registry": registry, "metric": metric})
        finally:
            self._catching_up_in = None

    def remove_plugin(self, plugin_name: str) -> None:
        """Stop calling the observers of a plugin."""
        self._observers = tuple(observer for observer in self._observers if observer.plugin.name != plugin_name)

    def metric_created(self, registry: Registry, metric: Instrument) -> None:
        """Announce a new metric."""
        # Compare the pid: in a child forked meanwhile, no thread is catching up.
        catching_up = self._catching_up_in == os.getpid()
        if self._is_first(metric) if catching_up else self._announced.pop(id(metric), None) is None:
            self._notify("tapes_metric_created", {"registry": registry, "metric": metric})

    def report_failed(self, reporter: Reporter, error: BaseException, streak: int) -> None:
        """Announce a failed report."""
        self._notify("tapes_report_failed", {"reporter": reporter, "error": error, "streak": streak})

    def _notify(self, hook: str, arguments: Mapping[str, object]) -> None:
        for observer in self._observers:
            if observer.hook == hook:
                observer.notify(arguments)

    def _is_first(self, metric: Instrument) -> bool:
        entry = (metric,)
        # `setdefault` is atomic: of two threads with the same metric, only one gets its own entry back. The entry keeps
        # the metric alive, so that its id is not reused.
        return self._announced.setdefault(id(metric), entry) is entry


def _live_registries() -> List[Registry]:
    while True:
        try:
            return [registry for registry in list(forking.registries) if isinstance(registry, Registry)]
        except RuntimeError:  # noqa: PERF203 -- another thread made a registry during the copy
            continue
