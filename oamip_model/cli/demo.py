"""``oamip demo``: the example that shows all of the package."""

from __future__ import annotations

import importlib

import click

from oamip_model.cli.options import Verb, json_option

EXAMPLE = "oamip_examples.01_demo"
"""The file examples/01_demo.py, as it is installed."""


@click.command(cls=Verb)
@click.option("--out", default="demo", show_default=True, metavar="FOLDER", help="Where the files go.")
@json_option
def demo(out: str, as_json: bool) -> int:
    """Train, score, prune, prove and compare, on the images that come with the package, in about a minute."""
    code: int = importlib.import_module(EXAMPLE).main(out, as_json)
    return code
