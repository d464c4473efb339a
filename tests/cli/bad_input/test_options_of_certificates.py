"""Options of the verbs about boxes, certificates, proofs and budgets: exit code 2, one line, before any work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

NET, DATA, SCORES, SMALL, BOX = "{net}", "{data}", "{scores}", "{small}", "{box}"
CERTIFICATE, PROOF = "{certificate}", "{proof}"
Case = tuple[list[str], str]

BOXES = [
    "nan,1",
    "0,inf",
    "-1e999,1",
    "1,0",
    "0",
    "0,1,2",
    "",
    "abc",
    ",",
    "missing.npz",
    ".",
    "-1e308,1e308",
]
DIGITS = "9" * 5000
INFO: list[Case] = [
    ([], "NET"), (["missing.onnx"], "missing.onnx"), (["."], "is a folder"), ([""], "folder"), ([DATA], "data.npz"),
    ([SCORES], "scores.json"), ([NET, NET], "unexpected extra argument"), ([NET, "--output", "nosuch"], "--output"),
    ([NET, "--output", ""], "--output"), ([NET, "--input-shape", "9"], "--input-shape"),
    ([NET, "--input-shape", "1,0,3"], "--input-shape"), ([NET, "--input-shape", DIGITS], "--input-shape"),
]  # fmt: skip
COMPRESS: list[Case] = [
    *((["--domain", value], "--domain") for value in BOXES),
    (["--domain", "9" * 400], "File name too long"),
    (["--domain", DATA], "lower"), (["--domain", NET], "--domain"), ([], "--domain"),
    *((["--domain", "0,1", "--time-limit", value], "--time-limit") for value in ("nan", "inf", "0", "-1", "", "soon")),
    *((["--domain", "0,1", f"--{name}", value], value or name) for name in ("solver", "checker")
      for value in ("nosuch", "pyomo:", "highs ")),
    *((["--domain", "0,1", "--out", value], "--out") for value in ("x.txt", "x.ONNX", "nowhere/x.onnx", ".", NET)),
    *((["--domain", "0,1", "--certificate", value], "--certificate") for value in ("x.txt", "nowhere/x.json", ".")),
    (["--domain", BOX, "--out", BOX], "--out"),
    *((["--domain", "0,1", "--log-file", value], "--log-file") for value in (".", "nowhere/x.log", NET)),
    (["--domain", BOX, "--log-file", BOX], "--log-file"),
    (["--domain", "0,1", "--out", "a.onnx", "--log-file", "a.onnx"], "--log-file"),
    (["--domain", "0,1", "--certificate", "a.json", "--log-file", "./a.json"], "--log-file"),
    (["--domain", "0,1", "--threads", "0"], "--threads"), (["--domain", "0,1", "--seed", "-1"], "--seed"),
    (["--domain", "0,1", "--output", "nosuch"], "--output"), (["--domain", "0,1", "--input-shape", "9"], "--input"),
]  # fmt: skip
DISTANCE: list[Case] = [
    *(([SMALL, "--domain", value], "--domain") for value in BOXES),
    *(([SMALL, "--radius", value], "--radius") for value in ("nan", "inf", "-1", "x", "", "1e999")),
    ([SMALL, "--radius", "1e308", "--data", DATA, "--images", "3"], "--radius"),
    *(([SMALL, "--radius", "0.1", "--clip", value], "--clip") for value in ("0", "a,b", "0,1,2", "")),
    *(([SMALL, "--radius", "0.1", "--data", DATA, "--images", "3", "--clip", value], "--clip")
      for value in ("nan,1", "1,0", "0,inf")),
    *(([SMALL, "--radius", "0.1", "--data", DATA, "--images", value], "--images")
      for value in ("0", "-1", "1.5", "99999", "99999999999")),
    *(([SMALL, "--radius", "0.1", "--data", DATA, "--store", value], "--store")
      for value in ("x.json", "nowhere/x.jsonl", ".")),
    *(([SMALL, "--radius", "0.1", "--data", DATA, "--plot", value], "--plot")
      for value in ("x.doc", "nowhere/x.png", ".")),
    *(([SMALL, "--domain", "0,1", option, value], f"{option}: goes with --radius") for option, value in
      (("--clip", "0,1"), ("--store", "x.jsonl"), ("--plot", "x.png"), ("--seed-images", "5"), ("--images", "5"))),
    ([SMALL, "--radius", "0.1", "--norm", "1"], "--norm"), ([SMALL, "--domain", "0,1", "--norm", "2"], "--norm"),
    ([SMALL], "--domain"), ([SMALL, "--domain", "0,1", "--radius", "1"], "--domain"), ([], "PRUNED"),
    ([SMALL, SMALL, "--domain", "0,1"], "--domain"), (["missing.onnx", "--domain", "0,1"], "missing.onnx"),
    ([DATA, "--domain", "0,1"], "data.npz"), ([SMALL, "--radius", "0.1", "--data", "missing.npz"], "missing.npz"),
    ([SMALL, "--radius", "0.1", "--data", "fashion-mnist-2000"], "--data: fashion-mnist-2000"),
    ([SMALL, "--domain", "0,1", "--log-file", NET], "--log-file"),
    ([SMALL, "--radius", "0.1", "--store", "a.jsonl", "--log-file", "a.jsonl"], "--log-file"),
    ([SMALL, "--domain", "0,1", "--output", "nosuch"], "--output"),
]  # fmt: skip
CHECKS: list[Case] = [
    *((["check-certificate", name, NET, SMALL], told) for name, told in
      (("missing.json", "missing.json"), (".", "folder"), (NET, "net.onnx"), (SCORES, "scores.json"), (PROOF, "p.json"),
       (DATA, "data.npz"), ("{boxes}", "b.jsonl"))),
    (["check-certificate", CERTIFICATE, SMALL, NET], "it is of network"),
    (["check-certificate", CERTIFICATE, NET], "SMALLER"),
    (["check-certificate", CERTIFICATE, NET, "missing.onnx"], "missing.onnx"),
    (["check-certificate", CERTIFICATE, NET, SMALL, "--solver", "nosuch"], "--solver"),
    (["check-certificate", CERTIFICATE, NET, SMALL, "--time-limit", "nan"], "--time-limit"),
    *((["check-proof", name, NET, "--data", DATA], told) for name, told in
      (("missing.json", "missing.json"), (".", "folder"), (NET, "net.onnx"), (SCORES, "scores.json"),
       (CERTIFICATE, "c.json"), (DATA, "data.npz"))),
    (["check-proof", PROOF, SMALL, "--data", DATA], "it is of network"),
    (["check-proof", PROOF, NET, "--data", "missing.npz"], "missing.npz"), (["check-proof", PROOF, NET], "images: got"),
    (["check-proof", PROOF, NET, "--data", DATA, "--split", "test"], "are not among"),
    *((["score", NET, "--data", DATA, "--strategy", "joint", "--search", "tree", "--proof", value], "--proof")
      for value in ("p.txt", "nowhere/p.json", ".", NET)),
    (["score", NET, "--data", DATA, "--strategy", "joint", "--log-file", NET], "--log-file"),
    (["score", NET, "--data", DATA, "--strategy", "joint", "--out", "s.json", "--log-file", "s.json"], "--log-file"),
]  # fmt: skip
PRUNE: list[Case] = [
    *(([f"--{name}", value], f"--{name}") for name in ("macs", "parameters")
      for value in ("nan", "inf", "0", "-1", "", "half", "1e-300")),
    *((["--macs", "0.5", "--round-to", value], "--round-to") for value in ("0", "-1", "1.5", "nan", "99999999999")),
    *((["--macs", "0.5", f"--{name}", value], f"--{name}") for name in ("least", "most")
      for value in ("0", "-1", "x", "nosuch=1", "=3", "fc1=0", "fc1=1,fc1=2", ",", "fc1=" + DIGITS)),
    *((["--macs", "0.5", "--levels", value], "--levels") for value in ("0", "1", "1001", "x")),
    (["--macs", "0.5", "--solver", "nosuch"], "--solver"), (["--macs", "0.5", "--scope", "global"], "--scope"),
    (["--macs", "0.5", "--least", "4", "--most", "1"], "least"), (["--amount", "0.5", "--round-to", "2"], "--round-to"),
    (["--amount", "0.5", "--macs", "0.5"], "exactly one"), ([], "exactly one"),
    *((["--amount", "0.5", "--refit", value], "--refit") for value in ("nosuch", "", "removal")),
    (["--amount", "0.5", "--images", "5"], "--images"), (["--amount", "0.5", "--output", "nosuch"], "--output"),
    *((["--amount", "0.5", "--refit", "least-squares", "--images", value], "--images")
      for value in ("0", "99999", "x")),
]  # fmt: skip
CASES: list[Case] = [
    *((["info", *more], told) for more, told in INFO),
    *((["compress", NET, *more], told) for more, told in COMPRESS),
    *((["distance", NET, *more], told) for more, told in DISTANCE),
    *CHECKS,
    *((["prune", NET, "--scores", SCORES, "--data", DATA, *more], told) for more, told in PRUNE),
]


@pytest.mark.parametrize(("command", "told"), CASES, ids=[" ".join(c).replace(DIGITS, "9...9") for c, _ in CASES])
def test_is_refused(command: list[str], told: str, refused: Callable[[list[str], str], None]) -> None:
    refused(command, told)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_what_no_file_can_be_called_is_refused_wherever_a_name_goes(
    name: str, refused: Callable[[list[str], str], None]
) -> None:
    told = "NUL" if "\0" in name else "File name too long"
    box = ["--domain", "0,1"]
    commands = [
        ["info", name + ".onnx"], ["score", NET, "--data", name],
        ["score", NET, "--data", DATA, "--out", name + ".json"],
        ["score", NET, "--data", DATA, "--strategy", "joint", "--log-file", name], ["report", name],
        ["prune", NET, "--scores", name, "--amount", "0.5", "--data", DATA], ["compress", NET, "--domain", name],
        ["compress", NET, *box, "--certificate", name + ".json"], ["distance", NET, name + ".onnx", *box],
        ["check-certificate", name, NET, SMALL], ["check-proof", name, NET], ["bounds", NET, "--out", name + ".npz"],
        ["bench", "check", name], ["bench", "run", "--out", name], ["experiment", "pruning", "--out", name],
        ["tightness", NET, "--store", name + ".jsonl"], ["demo", "--out", name],
    ]  # fmt: skip
    for command in commands:
        refused(command, "")
        if command[0] in ("info", "score", "compress"):
            refused(command, told)
