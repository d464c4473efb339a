"""The command line as ``python -m oamip_model``, which is the same as ``oamip``."""

from __future__ import annotations

from oamip_model.cli import main

if __name__ == "__main__":
    main()
