"""The command line: ``oamip VERB``, one file per verb, each a thin skin over one public function."""

from __future__ import annotations

from oamip_model.cli.app import main, run

__all__ = ["main", "run"]
