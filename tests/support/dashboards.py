"""What the dashboard and the alerts ask Prometheus."""

from __future__ import annotations

import json
from pathlib import Path

import promql_parser
import yaml

DOCKER = Path(__file__).resolve().parents[2] / "docker"


def dashboard_queries() -> dict[str, str]:
    """PromQL by panel and legend, Grafana's variable for a window filled in."""
    dashboard = json.loads((DOCKER / "grafana/dashboards/tritonpose.json").read_text("utf-8"))
    return {
        f"{panel['id']} {panel['title']}: {target['legendFormat']}": target["expr"].replace(
            "$__rate_interval", "20s"
        )
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }


def alert_queries() -> dict[str, str]:
    """PromQL by the alert's name."""
    groups = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    """The series that a query asks for; raises ValueError where it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def grouping_labels(query: str) -> set[str]:
    """The labels that a query's aggregations keep."""
    found: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found
