"""Statements that hold for every input of a box.

They are exact compression and certified distances. Names load their file on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.certify.box import Box as Box
    from oamip_model.certify.certificate import Certificate as Certificate
    from oamip_model.certify.certificate import check_certificate as check_certificate
    from oamip_model.certify.certificate import load_certificate as load_certificate
    from oamip_model.certify.compression import Compressed as Compressed
    from oamip_model.certify.compression import compress as compress
    from oamip_model.certify.distances import Distance as Distance
    from oamip_model.certify.distances import distance as distance

_HOMES = {
    "Box": "box", "Certificate": "certificate", "check_certificate": "certificate", "load_certificate": "certificate",
    "Compressed": "compression", "compress": "compression",
    "Distance": "distances", "distance": "distances",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
