"""The isolation of a registry: at zero for the length of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.process import forking

if TYPE_CHECKING:
    from tapes.catalogue import Catalogue


class Isolation:
    """Keeps what was recorded before an isolation began, until its end."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        with catalogue.changing:
            self._series = catalogue.series.copy()
            self._aside = catalogue.aside.copy()
            self._described = catalogue.described.copy()
            self._totals, catalogue.totals = catalogue.totals, catalogue.totals.copy()
            self._content = [(metric, metric.swap(None)) for metric in catalogue.everything()]
        self._generation = forking.generation

    def end(self) -> None:
        """Restore what was recorded before. Metrics made since are set to zero and put aside."""
        catalogue = self._catalogue
        with catalogue.changing:
            before = {metric for metric, _ in self._content}
            aside = self._aside.copy()
            for series, metric in [*catalogue.aside.items(), *catalogue.series.items()]:
                if metric not in before:
                    metric.swap(None)
                    metric.put_aside()
                if self._series.get(series) is not metric:
                    aside[series] = metric
            for metric, content in self._content:
                # In a child that was forked inside, what was recorded before belongs to the parent.
                metric.swap(content if forking.generation == self._generation else None)
            names, described_aside = {name for name, _ in self._series}, {}
            for name, _ in aside:
                if name not in names:
                    described_aside[name] = catalogue.facts(name)
            catalogue.totals = self._totals
            catalogue.replace(self._series, aside, self._described, described_aside)
