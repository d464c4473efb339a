"""The metadata of the package, of its conda recipe and of its workflow say the same."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import oamip_model

ROOT = Path(__file__).parents[1]
NAMES = {"torch": "pytorch"}
"""Packages that conda calls otherwise."""


def setup() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    return parsed


def recipe() -> str:
    return (ROOT / "conda" / "meta.yaml").read_text()


def test_the_recipe_has_the_dependencies_of_the_wheel():
    wanted = [re.fullmatch(r"([\w-]+)(.*)", one) for one in setup()["options"]["install_requires"].split("\n") if one]
    assert all(wanted)
    run = recipe().split("  run:\n")[1].split("\n\n")[0]
    found = [line.strip("- ") for line in run.splitlines()][1:]
    assert found == [f"{NAMES.get(one[1], one[1])} {one[2]}" for one in wanted if one]


def test_versions_agree():
    assert f'version = "{oamip_model.__version__}"' in recipe()
    assert re.search(rf"^version: {re.escape(oamip_model.__version__)}$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert f"python {setup()['options']['python_requires']}" in recipe()


def test_every_package_that_is_in_the_checkout_is_in_the_wheel():
    listed = set(setup()["options"]["packages"].split())
    found = {"oamip_examples"}  # the folder examples
    for base in (ROOT, ROOT / "backends", ROOT / "benchmarks"):
        for init in base.glob("oamip_*/**/__init__.py"):
            found.add(".".join(init.parent.relative_to(base).parts))
    assert listed == found


def test_the_workflow_runs_what_the_project_runs_itself():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "run: .ci/run" in workflow
    assert f'["{setup()["options"]["python_requires"].removeprefix(">=")}"' in workflow
