"""Stands for GLPK's program: solves by HiGHS, and writes and prints what glpsol 5.0 does when it ends in some way.

How it ends is in the environment: "done", "gap" (within the gap that it was given), "time" (at its limit, with a
point), "early" (at its limit, with a basis that proves nothing), "sleep" (never) or "crash".
"""

from __future__ import annotations

import os
import subprocess
import sys
import time


def main(arguments: list[str]) -> None:
    if "--version" in arguments:
        print("GLPSOL--GLPK LP/MIP Solver 5.0")
        return
    end = os.environ["GLPSOL_ENDS"]
    if end == "sleep":
        child = subprocess.Popen(["sleep", "600"])
        with open(os.environ["GLPSOL_NOTES"], "w") as notes:
            notes.write(f"{os.getpid()} {child.pid} {' '.join(arguments)}")
        time.sleep(600)
    if end == "crash":
        print("Assertion failed: lp->valid\nError detected in file simplex/spxprim.c at line 99")
        os.abort()
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    os.symlink(given["--cpxlp"], given["--write"] + ".lp")
    highs.readModel(given["--write"] + ".lp")
    highs.run()
    lp = highs.getLp()
    values = list(highs.getSolution().col_value)
    value = highs.getInfo().objective_function_value
    mip = any(kind != highspy.HighsVarType.kContinuous for kind in lp.integrality_)
    size = f"{lp.num_row_} {lp.num_col_}"
    with open(given["--wglp"], "w") as file:
        file.write(f"p {'mip' if mip else 'lp'} min {size} 0\nn z obj\n")
        file.writelines(f"n j {k + 1} {name}\n" for k, name in enumerate(lp.col_names_))
        file.write("e o f\n")
    letter = {"done": "o", "gap": "f", "time": "f", "early": "u"}[end]
    basis = {"done": "f f", "time": "f u", "early": "i f"}.get(end)
    with open(given["--write"], "w") as file:
        file.write("c Problem:\nc\n")
        file.write(f"s mip {size} {letter} {value!r}\n" if mip else f"s bas {size} {basis} {value!r}\n")
        if letter != "u":
            file.writelines(f"j {k + 1} {x!r}\n" if mip else f"j {k + 1} b {x!r} 0\n" for k, x in enumerate(values))
        file.write("e o f\n")
    # The bound of a search that did not end lies a little below its best point.
    bound = {"gap": value - 1e-7 * abs(value), "time": value - 0.01 * abs(value)}.get(end)
    shown = "    tree is empty" if bound is None else f"{bound:17.9e}"
    if mip:
        print("+   100: mip =     not found yet >=              -inf        (1; 0)")
        print(f"+{345:6d}: >>>>> {value:17.9e} >= {shown}")
        print(f"+{400:6d}: mip = {value:17.9e} >= {shown}   0.1% (2; 11)")
    print(
        {
            "done": "INTEGER OPTIMAL SOLUTION FOUND" if mip else "OPTIMAL LP SOLUTION FOUND",
            "gap": "RELATIVE MIP GAP TOLERANCE REACHED; SEARCH TERMINATED",
        }.get(end, "TIME LIMIT EXCEEDED; SEARCH TERMINATED")
    )


if __name__ == "__main__":
    main(sys.argv[1:])
