"""The page: what a sceptic wants to know of these runs, from the verdict down to the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pathnet_rl.arms import SWITCHES
from pathnet_rl.environment_options import LABYRINTH
from pathnet_rl.envs.registry import short_name
from pathnet_rl.evidence import definitions, html
from pathnet_rl.evidence.chance import Key
from pathnet_rl.evidence.html import Cell
from pathnet_rl.evidence.hyperparameters import factors_found
from pathnet_rl.evidence.measures import CONTROL, ArmMeasures
from pathnet_rl.evidence.path_maps import lineage_notes, path_maps
from pathnet_rl.evidence.pictures import Picture
from pathnet_rl.evidence.replicates import Group
from pathnet_rl.evidence.runs import NotIncluded, Record
from pathnet_rl.evidence.summary import Whole
from pathnet_rl.evidence.words import command_of, number, spread_of, value_of
from pathnet_rl.intervals import Interval

WITH_RULES = ("ALE/", *LABYRINTH)
"""Names of tasks that have rules of their own begin with one of these."""
OTHERS = tuple(name for name in definitions.DEFINITIONS if name not in ("relative_area", "speedup"))
"""Measures that the second table has."""


@dataclass(frozen=True)
class Content:
    """Everything that a report says.

    Attributes:
        random: the random policy's return and where it comes from. silent: why some of them are unknown.
        pictures: see `pictures.py`. files: what lies beside the page.
    """

    groups: Sequence[Group]
    records: Sequence[Record]
    left_out: Sequence[NotIncluded]
    measures: Sequence[ArmMeasures]
    wholes: Sequence[Whole]
    random: Mapping[Key, tuple[float | None, str]]
    silent: Sequence[str]
    pictures: Sequence[Picture]
    files: Sequence[str]


def write(content: Content) -> str:
    """The whole page."""
    folders = {record.folder for record in content.records}
    seeds = {record.seed for record in content.records}
    groups = f"{len(content.groups)} group{'s' * (len(content.groups) != 1)} of replicates"
    body = [
        html.paragraph(
            f"{len(folders)} run{'s' * (len(folders) != 1)} in {groups}, seeds"
            f" {', '.join(str(seed) for seed in sorted(seeds))}. Every comparison is with the arm"
            f" {CONTROL.value}, which learns each task from scratch, with equal options and budgets."
        )
    ]
    sections = [
        ("verdict", "Relative areas", _verdict(content)),
        ("curves", "Learning curves", _pictures(content, "curves", definitions.BANDS)),
        ("seeds", "Seed by seed", _seed_by_seed(content)),
        ("measures", "Other measures", _other_measures(content)),
        ("matrix", "Transfer matrix", _pictures(content, "matrix", MATRIX)),
        ("paths", "Paths and reuse", _paths(content)),
        ("genes", "Hyperparameter genes", factors_found(content.groups)),
        ("definitions", "Definitions", _definitions(content)),
        ("commands", "Commands and commits", _commands(content)),
    ]
    shown = [section for section in sections if section[2]]
    body += _left_out(content.left_out)
    numbered = {g.label: g.words for g in content.groups if g.label != g.words}
    if numbered:
        body.append(html.items(f"{label}: {words}" for label, words in numbered.items()))
    body.append(html.contents((anchor, title) for anchor, title, _ in shown))
    for anchor, title, lines in shown:
        body += [html.heading(2, title, anchor), *lines]
    return html.page("PathNet beside its controls", body)


MATRIX = (
    "Relative area on the target (column) after the source (row): above 1, in blue, is better than"
    " learning it from scratch. An empty field was not measured; what was measured in several sequences is"
    " averaged."
)


def _left_out(left_out: Sequence[NotIncluded]) -> list[str]:
    if not left_out:
        return []
    lines = html.items(str(each) for each in left_out)
    return [f'<div class="warning">{lines}</div>']


def _verdict(content: Content) -> list[str]:
    """The table that says how much was gained, first over all tasks, then task by task."""
    lines = [html.paragraph(definitions.DEFINITIONS["relative_area"].words, "note")]
    labelled = any(group.label for group in content.groups)
    rows: list[html.Row] = []
    for whole in content.wholes:
        tasks = f"{whole.tasks} {'after another task' if whole.transfer else 'from scratch'}"
        if whole.without:
            tasks += f"; without {', '.join(whole.without)}"
        cell = Cell(value_of(whole.relative_area), spread_of(whole.relative_area))
        rows.append([whole.arm.value, cell, tasks, *([whole.label] * labelled)])
    if rows:
        overall: html.Row = ["arm", Cell("interquartile mean"), "tasks", *(["setting"] * labelled)]
        lines += [html.heading(3, "All tasks together"), html.table(overall, rows)]
    blocks = _blocks(
        (m for m in content.measures if len(m.pairs) or m.intervals["speedup"] is not None),
        lambda m: [
            *(_compared(m, name) for name in ("relative_area", "speedup")),
            Cell(value_of(m.intervals["area"]), spread_of(m.intervals["area"])),
            Cell(number(m.random)),
        ],
    )
    header: html.Row = [
        "arm", Cell("relative area"), Cell("plain ratio"), Cell("area"), Cell("random policy"),
    ]  # fmt: skip
    lines.append(html.heading(3, "Task by task"))
    if not blocks:
        words = f"No task has seeds of {CONTROL.value} to compare with."
        return [*lines, html.paragraph(words)]
    return [*lines, html.table_of_blocks(header, blocks)]


def _blocks(
    measures: Iterable[ArmMeasures], cells: Callable[[ArmMeasures], Sequence[Cell]]
) -> list[html.Block]:
    """A block a task of a group, a row an arm."""
    blocks: dict[tuple[int, int], tuple[str, list[html.Row]]] = {}
    for m in measures:
        block = blocks.setdefault((id(m.group), m.task), (m.group.title(m.task), []))
        block[1].append([m.arm.value, *cells(m)])
    return list(blocks.values())


def _compared(m: ArmMeasures, name: str) -> Cell:
    interval = m.intervals[name]
    if m.arm is CONTROL and interval is not None:
        return Cell(value_of(interval), "the control")
    if name == "relative_area" and interval is None and len(m.pairs):
        return Cell(value_of(interval), "the control is at chance")
    return Cell(value_of(interval), spread_of(interval))


def _seed_by_seed(content: Content) -> list[str]:
    seeds = sorted({record.seed for record in content.records})

    def cells(m: ArmMeasures) -> list[Cell]:
        mine = {seed.record.seed: seed.values for seed in m.seeds}
        return [
            Cell(number(values["area"]), _relative(values["relative_area"]))
            if (values := mine.get(seed))
            else Cell("")
            for seed in seeds
        ]

    header: html.Row = ["arm", *(Cell(f"seed {seed}") for seed in seeds)]
    words = (
        "Area under the curve, and below it the relative area to the control with the same seed. All other"
        " measures of each seed are in measures.csv."
    )
    blocks = _blocks(content.measures, cells)
    return [html.paragraph(words, "note"), html.table_of_blocks(header, blocks)]


def _relative(value: float | None) -> str:
    return "" if value is None else f"relative {number(value)}"


def _other_measures(content: Content) -> list[str]:
    shown = [
        name for name in OTHERS if any(m.intervals[name] is not None for m in content.measures)
    ]
    header: html.Row = ["arm", *(Cell(definitions.DEFINITIONS[name].title) for name in shown)]
    blocks = _blocks(
        content.measures, lambda m: [_measure_cell(m, name, m.intervals[name]) for name in shown]
    )
    return [html.paragraph(definitions.INTERVALS, "note"), html.table_of_blocks(header, blocks)]


def _measure_cell(m: ArmMeasures, name: str, interval: Interval | None) -> Cell:
    text, small = value_of(interval), spread_of(interval)
    if name == "steps_to_threshold" and m.censored:
        text, small = f">= {text}", f"{small}; {m.censored} censored"
    if name == "jump_start" and m.arm is CONTROL and interval is not None:
        small = "the control"
    return Cell(text, small)


def _pictures(content: Content, kind: str, words: str) -> list[str]:
    shown = [picture for picture in content.pictures if picture.kind == kind]
    if not shown:
        return []
    return [html.paragraph(words, "note"), html.figures(_inside(picture) for picture in shown)]


def _inside(picture: Picture) -> str:
    natural = picture.kind != "curves"
    return html.picture(picture.figure, picture.caption, picture.words, natural)


def _paths(content: Content) -> list[str]:
    """The lowest seed of each arm that evolves or freezes is shown, the others on demand."""
    lines = [html.paragraph(definitions.REUSE, "note"), _reuse_table(content.groups)]
    maps = [picture for picture in content.pictures if picture.kind == "paths"]
    if not maps:
        return []
    lines.append(html.figures(_inside(picture) for picture in maps if picture.first))
    others = [picture for picture in maps if not picture.first]
    if others:
        lines.append(
            html.details(f"Other seeds ({len(others)})", [html.figures(map(_inside, others))])
        )
    notes = [
        f"{group.title(len(group.tasks) - 1)}, {arm.value}, seed {seed}: {'; '.join(told)}"
        for group in content.groups
        for arm in group.arms
        if SWITCHES[arm].evolve
        for seed, record in sorted(group.records[arm].items())
        if (told := lineage_notes(record))
    ]
    if notes:
        lines += [html.heading(3, "Lineages and activity genes"), html.items(notes)]
    return lines


def _reuse_table(groups: Iterable[Group]) -> str:
    blocks: list[html.Block] = []
    for group in groups:
        rows: list[html.Row] = [
            [arm.value, Cell(str(seed)), f"{task}: {each.name}",
             Cell(str(each.frozen_before)), Cell(str(each.reused))]
            for arm in group.arms
            if SWITCHES[arm].freeze
            for seed, record in sorted(group.records[arm].items())
            for task, each in enumerate(path_maps(record), 1)
            if each.frozen_before
        ]  # fmt: skip
        if rows:
            blocks.append((group.title(len(group.tasks) - 1), rows))
    header: html.Row = ["arm", Cell("seed"), "task", Cell("frozen before"), Cell("reused")]
    return (
        html.details("Reuse in numbers", [html.table_of_blocks(header, blocks)]) if blocks else ""
    )


def _definitions(content: Content) -> list[str]:
    terms = [(each.title, each.words) for each in definitions.DEFINITIONS.values()]
    terms += [("intervals", definitions.INTERVALS), ("all tasks together", definitions.AGGREGATE),
              ("random policy", definitions.RANDOM)]  # fmt: skip
    rows: list[html.Row] = [
        [
            short_name(name),
            rules if name.startswith(WITH_RULES) else "",
            Cell(number(value)),
            origin,
        ]
        for (name, rules), (value, origin) in content.random.items()
    ]
    header: html.Row = ["task", "rules", Cell("random policy's return"), "from"]
    lines = [html.definitions(terms), html.table(header, rows)]
    if content.silent:
        lines.append(
            html.items(f"the random policy was not played on {why}" for why in content.silent)
        )
    return lines


def _commands(content: Content) -> list[str]:
    tables = ", ".join(file for file in content.files if file.endswith(".csv"))
    lines = [html.paragraph(f"Beside this page lie its pictures as PNG, and {tables}.")]
    commits = sorted({str(start.get("commit")) for r in content.records for start in r.starts})
    lines.append(html.paragraph(f"Commits: {', '.join(commits) or 'unknown'}", "breakable"))
    for folder in dict.fromkeys(record.folder for record in content.records):
        record = next(record for record in content.records if record.folder == folder)
        starts = [
            f"# {start.get('started')}, commit {start.get('commit')}, {start.get('host')},"
            f" {start.get('cpus')} CPUs\n{command_of(start)}"
            for start in record.starts
        ]
        lines.append(html.details(str(folder), [html.code(starts or ["# no provenance.json"])]))
    settings: list[html.Row] = [
        [name, *(Cell(dict(group.options).get(name, ""), number=False) for group in content.groups)]
        for name in sorted({name for group in content.groups for name, _ in group.options})
    ]
    header: html.Row = ["option", *(group.title(len(group.tasks) - 1) for group in content.groups)]
    lines.append(html.details("Every option of every group", [html.table(header, settings)]))
    return lines
