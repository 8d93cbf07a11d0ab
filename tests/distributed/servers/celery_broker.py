"""A broker for Celery that is a folder."""

from __future__ import annotations

from pathlib import Path

from celery import Celery


def application(name: str, folder: Path) -> Celery:
    """Make an application of Celery that sends messages to a folder and looks into it often."""
    app = Celery(name, broker="filesystem://", set_as_current=False)
    app.conf.update(
        broker_transport_options={
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.01,
        },
        worker_prefetch_multiplier=0,  # as many as there are
    )
    return app
