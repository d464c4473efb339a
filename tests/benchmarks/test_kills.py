"""The script that kills and interrupts commands finds what it is to find."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from oamip_benchmarks.measures import kills

GOOD = "\nsys.stderr.write('oamip: interrupted\\n'); sys.exit(130 + 13 * came[0])"
ENDS: list[tuple[str, str, signal.Signals, str]] = [
    ("open('store', 'a').write('two\\n')", GOOD, signal.SIGINT, ""),
    ("open('store', 'a').write('two\\nha')", GOOD, signal.SIGTERM, ""),
    ("open('store', 'a').write('two\\n')", GOOD, signal.SIGKILL, ""),
    ("open('store', 'w').write('other\\n')", GOOD, signal.SIGKILL, "1 lines of the store before, 1 others after"),
    ("open('store', 'w')", GOOD, signal.SIGINT, "1 lines of the store before, 0 others after"),
    ("pass", "\nsys.stderr.write('oamip: interrupted\\n'); sys.exit(1)", signal.SIGINT, "exit code 1"),
    ("pass", "\nsys.stderr.write('Traceback\\noamip: interrupted\\n'); sys.exit(130)", signal.SIGINT, "Traceback"),
    ("pass", "\nsys.exit(143)", signal.SIGTERM, "exit code 143"),
    ("sys.exit(7)", "", signal.SIGINT, "ended by itself with 7"),
]


@pytest.mark.parametrize(("work", "end", "number", "fault"), ENDS)
def test_faults_are_named(
    work: str, end: str, number: signal.Signals, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import signal, sys, time; came = [False, False]\ndef stop(number, frame): came[:] = [number == 15, True]\n"
    )
    script += "signal.signal(2, stop); signal.signal(15, stop)\n" + work + "\nopen('ready', 'w').close()\n"
    script += "while not came[1]: time.sleep(0.01)" + end

    def start(case: kills.Case, folder: Path, temporary: Path) -> subprocess.Popen[str]:
        running = subprocess.Popen(
            [sys.executable, "-c", script], cwd=folder, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL
        )
        while running.poll() is None and not (folder / "ready").exists():
            time.sleep(0.01)
        return running

    monkeypatch.setattr(kills, "start", start)
    (tmp_path / "store").write_text("one\n")
    found = kills.Findings()
    case = kills.Case("command", (), "out", "store", lambda path: None)
    ended = kills.disturb(case, number, 0.01, tmp_path, tmp_path, found)
    assert ended == (work != "sys.exit(7)")
    assert [fault in told for told in found.faults] == ([True] if fault else [])


@pytest.mark.parametrize("change", ["", "twice", "left", "result"])
def test_a_case_is_compared_with_an_undisturbed_run(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "open('store', 'a').write('{\\\"key\\\": 1}\\n'); open('out', 'w').write('result')"

    def start(case: kills.Case, folder: Path, temporary: Path) -> subprocess.Popen[str]:
        rough = folder.name.endswith("rough")
        told = script.replace("'result'", "'other'") if rough and change == "result" else script
        told += "; open('store', 'a').write('{\\\"key\\\": 1}\\n')" if rough and change == "twice" else ""
        told += "; open('.half.json', 'w')" if rough and change == "left" else ""
        return subprocess.Popen([sys.executable, "-c", told], cwd=folder, stderr=subprocess.PIPE, text=True)

    monkeypatch.setattr(kills, "start", start)
    result: Callable[[Path], str] = Path.read_text
    found = kills.Findings()
    case = kills.Case("command", (), "out", "store", result)
    kills.run_case(case, [], tmp_path, np.random.default_rng(0), found)
    told = {"": [], "twice": ["keys are in the store twice"], "left": ["left behind: .half.json"],
            "result": ["not that of the undisturbed run"]}[change]  # fmt: skip
    assert len(found.faults) == len(told)
    assert all(part in fault for part, fault in zip(told, found.faults, strict=True))
