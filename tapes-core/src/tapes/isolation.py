"""A registry at zero for a while, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.process import forking

if TYPE_CHECKING:
    from tapes.catalogue import Catalogue


class Isolation:
    """What was recorded before an isolation began, put away until its end."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        with catalogue.changing:
            self._series = catalogue.series.copy()
            self._aside = catalogue.aside.copy()
            self._described = catalogue.described.copy()
            self._totals, catalogue.totals = catalogue.totals, catalogue.totals.copy()
            self._content = [(metric, metric.exchange(None)) for metric in catalogue.everything()]
        self._generation = forking.generation

    def end(self) -> None:
        """Put back what was recorded before. What was made since begins at zero, and is put aside."""
        catalogue = self._catalogue
        with catalogue.changing:
            before = {metric for metric, _ in self._content}
            aside = self._aside.copy()
            for series, metric in [*catalogue.aside.items(), *catalogue.series.items()]:
                if metric not in before:
                    metric.exchange(None)
                    metric.put_aside()
                if self._series.get(series) is not metric:
                    aside[series] = metric
            for metric, content in self._content:
                # In a child that was forked meanwhile, what was recorded before is the parent's.
                metric.exchange(content if forking.generation == self._generation else None)
            names, described_aside = {name for name, _ in self._series}, {}
            for name, _ in aside:
                if name not in names:
                    described_aside[name] = catalogue.facts(name)
            catalogue.totals = self._totals
            catalogue.replace(self._series, aside, self._described, described_aside)
