"""The reporter `pushgateway`: for jobs that end before Prometheus can scrape them."""

from __future__ import annotations

from tapes.reporting.prometheus.pushgateway_sender import PushgatewaySender
from tapes.reporting.push import PushReporter


class PushgatewayReporter(PushReporter):
    """Puts the page of Prometheus at a Pushgateway, at every interval and with the last report.

    What it puts stays there until somebody deletes it, also when the process has ended: that is for jobs that end
    before Prometheus can scrape them. Let Prometheus scrape services at `/metrics`.
    """

    sender = PushgatewaySender
