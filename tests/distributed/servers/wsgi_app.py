"""An application as WSGI has it, for gunicorn and uWSGI.

It connects when it is imported. That is in each worker, or before the fork where the server imports it that early. With
CONNECT=later it leaves that to a hook of gunicorn, and with CONNECT=postfork it has uWSGI do it in each worker. With
AGGREGATOR it forks the aggregator when it is imported.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Iterable, List, Tuple

from tests.distributed.servers.measured import latency, registry, served, start_aggregator

aggregator = start_aggregator()
if os.environ.get("CONNECT") == "postfork":
    from uwsgidecorators import postfork

    postfork(registry.connect)
elif os.environ.get("CONNECT") != "later":
    registry.connect()


@latency.time()
def application(
    environ: Dict[str, Any], start_response: Callable[[str, List[Tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Answer with the number of the process."""
    served.increment()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
