"""The tables of `launch.bench.nodes`, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_all(console: Console, report: Mapping[str, Any]) -> None:
    """What was measured, how far the model is from it, and what it predicts."""
    _print(
        console,
        "measured, medians",
        [
            "workers", "nodes", "interval", "pushes/s", "exchanges/s (asked)", "MB/s a node up, down",
            "server's CPU", "server ms", "courier ms", "exchange ms (95%)", "staleness",
        ],
        (_measured(row) for row in report["settings"]),
    )  # fmt: skip
    costs = report["costs"]
    console.print(
        f"an exchange takes the server {1e3 * costs['constant']:.2f} ms of CPU and"
        f" {1e9 * costs['per_byte']:.2f} ms a MB, the courier {1e3 * costs['courier_constant']:.2f} ms and"
        f" {1e9 * costs['courier_per_byte']:.2f} ms a MB"
    )
    _print(
        console,
        "the model beside what was measured",
        ["workers", "nodes", "interval", "", "MB", "by the model", "server ms", "by the model",
         "courier ms", "by the model"],
        (_compared(row) for row in report["comparison"]),
    )  # fmt: skip
    for link in sorted({row["link"] for row in report["predictions"]}):
        _print(
            console,
            f"one server, predicted: {link / 1e9:g} Gbit/s",
            ["workers", "nodes", "asked", "interval", "limit", "server's CPU", "server's Gbit/s",
             "a node's Gbit/s", "staleness"],
            (_predicted(row) for row in report["predictions"] if row["link"] == link),
        )  # fmt: skip
    _print(
        console,
        "servers for a delay, predicted",
        ["delay", "nodes", "shards by module", "tree of two levels"],
        (
            (f"{row['delay']:g} s", f"{row['nodes']}", _count(row["servers_by_module"]),
             _count(row["servers_in_a_tree"]))
            for row in report["more_servers"]
        ),
    )  # fmt: skip
    _print(
        console,
        "4 million pushes, predicted: CPU hours and bytes",
        ["workers", "nodes", "interval", "workers' hours", "couriers'", "server's", "TB"],
        (
            (f"{row['workers']:,}", f"{row['nodes']}", f"{row['interval']:.2f} s",
             f"{row['worker_hours']:.1f}", f"{row['courier_hours']:.2f}", f"{row['server_hours']:.2f}",
             f"{row['bytes'] / 1e12:.3f}")
            for row in report["bills"]
        ),
    )  # fmt: skip


def _print(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _measured(row: Mapping[str, Any]) -> list[str]:
    found = row["median"]
    return [
        f"{row['workers']:,}",
        f"{row['nodes']}",
        f"{row['interval']:g} s",
        f"{found['pushes_per_second']:,.0f}{' *' if found['pushes_together'] else ''}",
        f"{found['exchanges_per_second']:.1f} ({found['exchanges_per_second_asked']:g})",
        f"{found['bytes_per_second_up'] / 1e6:.2f}, {found['bytes_per_second_down'] / 1e6:.2f}",
        f"{found['server_cpu_percent']:.0f}%",
        f"{found['server_milliseconds']:.2f}",
        f"{found['courier_milliseconds']:.2f}",
        f"{found['exchange_milliseconds']:.0f} ({found['exchange_milliseconds_95']:.0f})",
        f"{found['staleness']:,.0f}",
    ]


def _compared(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['workers']:,}",
        f"{row['nodes']}",
        f"{row['interval']:g} s",
        "fitted" if row["fitted"] else "",
        f"{row['bytes'] / 1e6:.2f}",
        f"{row['bytes_modelled'] / 1e6:.2f} ({row['bytes_error']:+.0%})",
        f"{row['server_milliseconds']:.2f}",
        f"{row['server_milliseconds_modelled']:.2f} ({row['server_error']:+.0%})",
        f"{row['courier_milliseconds']:.2f}",
        f"{row['courier_milliseconds_modelled']:.2f} ({row['courier_error']:+.0%})",
    ]


def _predicted(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['workers']:,}",
        f"{row['nodes']}",
        f"{row['asked']:g} s",
        f"{row['interval']:.2f} s",
        row["limit"],
        f"{row['server_cpu']:.0%}",
        f"{row['server_bits'] / 1e9:.2f}",
        f"{row['node_bits'] / 1e9:.3f}",
        f"{row['staleness']:,.0f}",
    ]


def _count(servers: int | None) -> str:
    return "not enough" if servers is None else f"{servers}"
