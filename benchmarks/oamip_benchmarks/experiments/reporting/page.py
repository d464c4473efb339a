"""``oamip report``: one page of all studies in a run's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import oamip_model as om
from oamip_benchmarks.experiments.catalogue import STUDIES
from oamip_benchmarks.experiments.cells import Plain
from oamip_benchmarks.experiments.conduct import read_records
from oamip_benchmarks.experiments.engine import stored_cells
from oamip_benchmarks.experiments.reporting.table import Line, headings, shared, tag_text, text_cells, used
from oamip_benchmarks.experiments.workshop import Workshop
from oamip_model.errors import InputError
from oamip_model.page import Cell, Page, Tone, check_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROVED = "proved optimal for the network"
LAYERS = "each layer's program proved within its gap, the network's not"
RELAXED = "relaxed or published program: a heuristic, nothing is proved of the network"
UNFINISHED = "stopped before its tolerance"
RULE = "a rule, no program"
CLAIMS = (PROVED, LAYERS, RELAXED, UNFINISHED, RULE)
"""What is known of scores, from most to least."""


@dataclass(frozen=True)
class Done:
    """A cell of a finished study: its tags, options and result."""

    tags: Plain
    options: Plain
    result: Plain


def make_report(folder: Path) -> tuple[Page, int]:
    """The page of a run's folder, and how many studies are on it.

    Raises
    ------
    InputError
        For a folder without a study, or without matplotlib.
    """
    check_matplotlib()
    records, stored = read_records(folder), stored_cells(folder)
    page = Page(f"Studies in {folder.resolve().name}", ", ".join(record["study"] for record in records))
    listed = {cell["key"] for record in records for cell in record["cells"]}
    unfinished = len(stored.keys() - listed)
    if unfinished:
        page.text(f"{unfinished} finished cells belong to studies that are not finished, and are not shown.", "alert")
    shop = Workshop(folder)
    for record in records:
        cells = _cells(record, stored, folder)
        try:
            _study(page, shop, record, cells)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            told = f"the cells of the study {record['study']} do not fit together ({type(error).__name__}: {error})"
            raise InputError(f"run: {folder} is damaged, {told}") from None
    return page, len(records)


def _cells(record: Plain, stored: dict[str, Plain], folder: Path) -> list[Done]:
    missing = [cell["key"] for cell in record["cells"] if cell["key"] not in stored]
    if missing or record["study"] not in STUDIES:
        what = f"{len(missing)} cells of the study" if missing else "the package has no study"
        raise InputError(f"run: {folder} is damaged, {what} {record['study']} are missing")
    found = [(cell["tags"], stored[cell["key"]]) for cell in record["cells"]]
    return [Done(tags, kept["options"], kept["result"]) for tags, kept in found]


def _study(page: Page, shop: Workshop, record: Plain, cells: Sequence[Done]) -> None:
    study, asked = STUDIES[record["study"]], asdict(record["asked"])
    lines = study.table([(cell.tags, cell.result) for cell in cells])
    page.section(study.name)
    page.text(study.about)
    rows = used(study.rows, lines)
    same = shared(rows, lines)
    rows = [name for name in rows if name not in same]
    all_have = "".join(f"All lines: {name} {tag_text(name, lines[0].tags[name])}. " for name in same)
    seeds = f"Mean ± deviation over {asked['seeds']} seeds." if asked["seeds"] > 1 else "One seed."
    page.figures((study.draw(lines), f"{study.about} {seeds}"))
    asks = asked["seeds"] > 1 and "accuracy" in study.values
    heads = [*headings(rows, study.values), *(["95 % interval of the mean accuracy, %"] if asks else [])]
    body = [_row(line, rows, study.values, asks) for line in lines]
    page.table(heads, body, left=len(rows), caption=all_have + seeds, sortable=len(lines) > 1)
    _sizes(page, cells)
    _claims(page, cells)
    _maps(page, shop, cells)
    _confusions(page, cells)
    page.facts(_facts(record, cells))


def _row(line: Line, rows: Sequence[str], values: Sequence[str], asks: bool) -> list[str | Cell]:
    tone: Tone = "faint" if line.tags.get("method") == "reference" else ""
    interval = line.interval("accuracy")
    told = "-" if interval is None else " to ".join(f"{100 * min(max(end, 0.0), 1.0):.2f}" for end in interval)
    return [Cell(text, tone) for text in (*text_cells(line, rows, values), *([told] if asks else []))]


def _sizes(page: Page, cells: Sequence[Done]) -> None:
    """Accuracy against the size of what is left, for each network that was cut to several sizes."""
    from oamip_benchmarks.experiments.reporting.sizes import accuracy_by_size, sized

    found = [(cell.tags, cell.result) for cell in cells]
    for network in dict.fromkeys(tags.get("network") for tags, _ in found):
        if network is not None and (chosen := sized(found, network)):
            text = (
                f"{network}: test accuracy against what is left, with 95 % intervals of the mean where there are seeds."
                " Points of one size stand side by side."
            )
            page.figures((accuracy_by_size(chosen), text))


def _claims(page: Page, cells: Sequence[Done]) -> None:
    """What was proved of the scores, and what was not."""
    counts: Counter[tuple[str, str]] = Counter()
    told: dict[str, str] = {}
    for cell in cells:
        if "summary" in cell.result:
            method = str(cell.tags["method"])
            counts[method, claim(cell.result, cell.options["rule"])] += 1
            told.setdefault(method, cell.result["summary"])
    if not counts:
        return
    page.text("What was proved, and what was not: the test accuracies are measured, and nothing is proved of them.")
    methods = list(told)
    shown = [known for known in CLAIMS if any(counts[method, known] for method in methods)]
    page.table(["scores", *shown], [[m, *(str(counts[m, known] or "-") for known in shown)] for m in methods],
               caption="Cells by what is known of their scores")  # fmt: skip
    page.table(["scores", "in full, of the first cell"], [[m, Cell(told[m])] for m in methods], left=2, folded=True,
               caption="Summaries")  # fmt: skip


def claim(result: Plain, rule: Plain) -> str:
    """Which of :data:`CLAIMS` holds for a cell's scores.

    Examples
    --------
    >>> claim({"proved": False, "status": "no program"}, {"method": "random"})
    'a rule, no program'
    """
    if result["proved"]:
        return PROVED
    if result["status"] == "no program":
        return RULE
    if result["status"] != "optimal":
        return UNFINISHED
    return LAYERS if rule["score"]["strategy"] in ("decoupled", "forward", "backward") else RELAXED


def _maps(page: Page, shop: Workshop, cells: Sequence[Done]) -> None:
    """The scores of each method that solves programs, for the first seed of each network."""
    from oamip_benchmarks.experiments.reporting.maps import filters, score_map

    pictures: list[tuple[Figure, str]] = []
    seen = set()
    for cell in cells:
        options = cell.options
        name = (cell.tags["network"], cell.tags["method"])
        scored = options.get("rule") or {}
        if "against" in options or scored.get("method") != "oamip" or options.get("of", "trained") != "trained":
            continue
        if "every" in options or name in seen:
            continue
        seen.add(name)
        module, network, scores = shop.found(options["setting"], scored)
        keep = om.choose_units(scores, network, **options["choice"]).keep
        where = f"{name[0]}, {name[1]}, seed {options['setting']['seed']}, by {_choice(options['choice'])}"
        pictures.append((score_map(scores.by_layer, keep), f"Scores of {where}; an orange cross: the unit goes."))
        for layer, values in scores.by_layer.items():
            figure = filters(module, layer, values, keep[layer])
            if figure is not None:
                text = (
                    f"Filters of {layer}, {where}, mean over input channels, with their scores; "
                    "an orange frame: the filter goes."
                )
                pictures.append((figure, text))
    if pictures:
        page.text("Scores, unit by unit:")
        page.figures(*pictures)


def _choice(choice: Plain) -> str:
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in
                     choice.items())  # fmt: skip


def _confusions(page: Page, cells: Sequence[Done]) -> None:
    """Confusion matrices before and after the first pruning by OAMIP of each network, and training set."""
    from oamip_benchmarks.experiments.reporting.maps import confusion

    pictures = []
    before = {str(c.options["setting"]): c for c in reversed(cells) if c.tags["method"] == "reference"}
    for goal, first in before.items():
        after = [
            c for c in cells
            if str(c.options.get("target") or c.options["setting"]) == goal
            and (c.options.get("rule") or {}).get("method") == "oamip" and "confusion" in c.result
        ]  # fmt: skip
        if after and first.tags["seed"] == 0:
            named = ", ".join(
                f"{name.replace('_', ' ')} {value}" for name, value in after[0].tags.items() if value is not None
            )
            data = str((after[0].options.get("target") or after[0].options["setting"])["data"])
            text = f"Before and after: {named}, in per cent of the images of each class."
            pictures.append((confusion([("before", first.result), ("after", after[0].result)], data), text))
    if pictures:
        page.text("What is taken for what:")
        page.figures(*reversed(pictures))


def _facts(record: Plain, cells: Sequence[Done]) -> list[tuple[str, str]]:
    asked, where = asdict(record["asked"]), record["environment"]
    recipe = cells[0].options["setting"]["recipe"]
    facts = [("data", f"{asked['data']}, {cells[0].result['test_images']} test images")]
    facts += [("training", ", ".join(f"{name} {value}" for name, value in recipe.items()))]
    facts += [(name.replace("_", " "), _told(value)) for name, value in asked.items() if value and name != "data"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return [*facts, ("processor", f"{where['cpu']}, {where['cpus']} cores"), ("versions", versions),
            ("revision", str(where["revision"])), ("date", where["date"])]  # fmt: skip


def _told(value: object) -> str:
    return (
        ", ".join("all" if part is None else str(part) for part in value)
        if isinstance(value, list | tuple)
        else str(value)
    )
