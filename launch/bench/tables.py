"""The benchmark's tables, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_rows(console: Console, title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """One table."""
    relative = any("relative" in figures for figures in rows.values())
    table = Table(title=title)
    columns = ["", "per second", "per CPU-second (lowest-highest)", "CPUs busy"]
    columns += ["relative", "beside the emulator, ms"] if relative else []
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for row, figures in rows.items():
        cells = [
            row.replace("_", " "),
            f"{figures['agent_steps_per_second']:,.0f}",
            "{agent_steps_per_cpu_second:,.0f} ({lowest:,.0f}-{highest:,.0f})".format(**figures),
            f"{figures['cpus_busy']:.2f}",
        ]
        if relative:
            cells += [f"{figures['relative']:.3f}", f"{figures['pathway_milliseconds']:.3f}"]
        table.add_row(*cells)
    console.print(table)
