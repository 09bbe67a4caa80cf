"""The benchmark's tables, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_rows(
    console: Console, title: str, rows: Mapping[str, Mapping[str, Any]], scaling: bool = False
) -> None:
    """One table; of scaling with what workers do beside their emulators, instead of the CPUs busy."""
    table = Table(title=title)
    columns = ["", "a second", "a CPU-second (lowest-highest)"]
    for column in [*columns, *(["relative", "pathway ms"] if scaling else ["CPUs busy"])]:
        table.add_column(column, justify="right" if column else "left")
    for row, figures in rows.items():
        cells = [
            row.replace("_", " "),
            f"{figures['agent_steps_per_second']:,.0f}",
            "{agent_steps_per_cpu_second:,.0f} ({lowest:,.0f}-{highest:,.0f})".format(**figures),
        ]
        if scaling:
            cells += [f"{figures['relative']:.3f}", f"{figures['pathway_milliseconds']:.3f}"]
        else:
            cells.append(f"{figures['cpus_busy']:.2f}")
        table.add_row(*cells)
    console.print(table)
