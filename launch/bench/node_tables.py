"""The tables of `launch.bench.nodes`, for people: what was measured, and what the model says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

SETTING = "workers / nodes / s"
Row = Mapping[str, Any]


def print_all(console: Console, report: Row) -> None:
    """Every table of a report."""
    _print(
        console,
        "exchanges, measured (a second: reached, asked; milliseconds of CPU: server, courier)",
        [SETTING, "a second", "server's CPU", "ms", "lasts ms (95%)", "MB/s up, down", "staleness"],
        (_measured(row) for row in report["settings"]),
    )
    costs = report["costs"]
    for who, constant, per_byte in (
        ("the server", costs["constant"], costs["per_byte"]),
        ("a courier", costs["courier_constant"], costs["courier_per_byte"]),
    ):
        console.print(f"{who}: {1e3 * constant:.2f} ms an exchange + {1e9 * per_byte:.2f} ms a MB")
    _print(
        console,
        "the model beside it (* fitted)",
        [SETTING, "MB", "model", "server ms", "model", "courier ms", "model"],
        (_compared(row) for row in report["comparison"]),
    )
    links = sorted({row["link"] for row in report["predictions"]})
    _print(
        console,
        "one server, predicted: seconds between exchanges, and its limit",
        [
            SETTING,
            *(f"{link / 1e9:g} Gbit/s" for link in links),
            "server's CPU",
            "Gbit/s",
            "staleness",
        ],
        _predicted(report["predictions"]),
    )
    _print(
        console,
        "servers needed for a delay, predicted",
        ["delay", "nodes", "shards by module", "tree of two levels"],
        (
            [f"{row['delay']:g} s", f"{row['nodes']}", *map(_count, _servers(row))]
            for row in report["more_servers"]
        ),
    )
    _print(
        console,
        "4 million pushes, predicted: CPU hours",
        [SETTING, "workers", "couriers", "server", "TB on the network"],
        (_billed(row) for row in report["bills"]),
    )


def _print(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    table = Table(title=title)
    for column in columns:
        table.add_column(
            column, justify="left" if column == SETTING else "right", no_wrap=column == SETTING
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _setting(row: Row, interval: str = "interval") -> str:
    return f"{row['workers']:,} / {row['nodes']} / {row[interval]:.3g}"


def _measured(row: Row) -> list[str]:
    """CPU times are medians; rates and durations those of the round in which others took least."""
    median, found = row["median"], row["least_disturbed"]
    return [
        _setting(row),
        f"{found['exchanges_per_second']:.1f}, {found['exchanges_per_second_asked']:g}",
        f"{found['server_cpu_percent']:.0f}%",
        f"{median['server_milliseconds']:.1f}, {median['courier_milliseconds']:.1f}",
        f"{found['exchange_milliseconds']:.0f} ({found['exchange_milliseconds_95']:.0f})",
        f"{found['bytes_per_second_up'] / 1e6:.1f}, {found['bytes_per_second_down'] / 1e6:.1f}",
        f"{found['staleness']:,.0f}",
    ]


def _compared(row: Row) -> list[str]:
    cells = [_setting(row) + (" *" if row["fitted"] else "")]
    for name, unit in (("bytes", 1e6), ("server_milliseconds", 1.0), ("courier_milliseconds", 1.0)):
        error = row[f"{name.removesuffix('_milliseconds')}_error"]
        cells += [f"{row[name] / unit:.2f}", f"{row[f'{name}_modelled'] / unit:.2f} ({error:+.0%})"]
    return cells


def _predicted(rows: Iterable[Row]) -> Iterable[list[str]]:
    """One line a cluster and interval; what follows is said for the first link."""

    def cluster(row: Row) -> tuple[float, int, int]:
        return row["asked"], row["workers"], row["nodes"]

    for _, group in groupby(sorted(rows, key=lambda row: (*cluster(row), row["link"])), cluster):
        of_links = list(group)
        first = of_links[0]
        yield [
            _setting(first, "asked"),
            *(f"{row['interval']:.2f} {_limit(row)}" for row in of_links),
            f"{first['server_cpu']:.0%}",
            f"{first['server_bits'] / 1e9:.2f}",
            f"{first['staleness']:,.0f}",
        ]


def _limit(row: Row) -> str:
    limit: str = row["limit"]
    return "as asked" if limit == "interval" else limit.removeprefix("server's ")


def _servers(row: Row) -> tuple[int | None, int | None]:
    return row["servers_by_module"], row["servers_in_a_tree"]


def _count(servers: int | None) -> str:
    return "not enough" if servers is None else f"{servers}"


def _billed(row: Row) -> list[str]:
    hours = (f"{row[f'{who}_hours']:.2f}" for who in ("worker", "courier", "server"))
    return [_setting(row), *hours, f"{row['bytes'] / 1e12:.3f}"]
