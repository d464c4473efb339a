"""What is kept and reported of a run, by scoring, benchmark and studies.

Names load their module on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.runs.environment import describe as describe
    from oamip_model.runs.environment import read_environment as read_environment
    from oamip_model.runs.environment import same_machine as same_machine
    from oamip_model.runs.events import Event as Event
    from oamip_model.runs.events import Listener as Listener
    from oamip_model.runs.store import LineStore as LineStore
    from oamip_model.runs.store import RunStore as RunStore
    from oamip_model.runs.store import key_of as key_of

_HOMES = {
    "Event": "events", "LineStore": "store", "Listener": "events", "RunStore": "store", "describe": "environment",
    "key_of": "store", "read_environment": "environment", "same_machine": "environment",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
