"""Prometheus finds the nodes, Grafana finds Prometheus, and each panel asks for something that exists."""

from __future__ import annotations

import json
import re
from typing import Any

import promql_parser
import pytest

from tests.support import ROOT
from tests.surroundings import documents

FOLDER = ROOT / "launch" / "dashboards"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "pathnet-rl.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES: list[str] = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]

COUNTERS = {
    f"ray_pathnet_rl_{name}_total"
    for name in ("agent_steps", "updates", "exchanges", "restarts", "tournaments")
}
GAUGES = {f"ray_pathnet_rl_{name}" for name in ("staleness_updates", "exchange_seconds")}
"""As a node's endpoint has them: ray puts its name before, and `_total` behind what only grows."""


@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_can_read_every_query(query: str) -> None:
    assert promql_parser.parse(query) is not None
    with pytest.raises(ValueError, match=r".+"):
        promql_parser.parse(query + " by")


def test_every_metric_of_the_program_is_shown() -> None:
    asked = {name for query in QUERIES for name in re.findall(r"ray_pathnet_rl_\w+", query)}
    assert asked == COUNTERS | GAUGES


def test_what_only_grows_is_shown_as_a_rate() -> None:
    for query in QUERIES:
        for name in COUNTERS:
            if name in query:
                assert re.search(rf"(?:rate|increase)\({name}\{{", query), query


def test_the_programs_metrics_follow_the_variables() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"source", "node", "arm", "task"}
    for query in QUERIES:
        if "ray_pathnet_rl" in query:
            followed = set(re.findall(r'(\w+)=~"\$\1"', query))
            # The coordinator's tournaments are those of an arm.
            assert followed | {"task"} == {"node", "arm", "task"}
            assert ("task" in followed) == ("tournaments" not in query)


def test_panels_have_a_source_a_unit_and_a_description() -> None:
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["description"].endswith(".")
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_asks_the_head_which_nodes_there_are_with_the_token() -> None:
    [config] = documents(FOLDER / "prometheus.yaml")
    [job] = config["scrape_configs"]
    [discovery] = job["http_sd_configs"]
    [compose] = documents(ROOT / "docker" / "compose.yaml")
    assert discovery["url"] == "http://head:8265/api/prometheus/sd"
    assert "head" in compose["services"]
    # Without the type Prometheus 2.42 sends the bare token, and ray answers 403.
    assert discovery["authorization"]["type"] == "Bearer"
    assert discovery["authorization"]["credentials_file"] == "/run/secrets/ray_auth_token"
    assert compose["services"]["prometheus"]["secrets"] == ["ray_auth_token"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    [source] = documents(FOLDER / "grafana-data-source.yaml")
    [folder] = documents(FOLDER / "grafana-folder.yaml")
    [compose] = documents(ROOT / "docker" / "compose.yaml")
    places = [config["target"] for config in compose["services"]["grafana"]["configs"]]
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert any(place.startswith(folder["providers"][0]["options"]["path"]) for place in places)
