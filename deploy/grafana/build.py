"""Writes nexusmon.json, the Grafana dashboard: run it after a change and commit both."""

from __future__ import annotations

import json
from pathlib import Path



def on(metric: str, *more: str) -> str:
    return metric + "{" + ",".join(('instance=~"$instance"', *more)) + "}"


def quantile(of: float, metric: str) -> str:
    return f"histogram_quantile({of}, sum by (le) (rate({on(metric + '_bucket')}[$__rate_interval])))"


# Title, unit, [(expression, legend)]; each row of four.
ROWS: list[tuple[str, list[tuple[str, str, list[tuple[str, str]]]]]] = [
    (
        "Work",
        [
            ("Tasks that wait and run", "short", [
                (f"max({on('nexusmon_ready_tasks')})", "could start"),
                (f"max({on('nexusmon_live_leases')})", "under way"),
            ]),
            ("Why tasks wait", "short", [(f"max by (reason) ({on('nexusmon_tasks_waiting')})", "{{reason}}")]),
            ("Oldest task that could start", "s", [(f"max({on('nexusmon_oldest_ready_seconds')})", "waited")]),
            ("Tasks by status", "short", [(f"max by (status) ({on('nexusmon_tasks')})", "{{status}}")]),
            ("Missions by status", "short", [(f"max by (status) ({on('nexusmon_missions')})", "{{status}}")]),
            ("Missions accepted, reports settled", "ops", [
                (f"sum(rate({on('nexusmon_mission_create_items_total')}[$__rate_interval]))", "missions"),
                (f"sum(rate({on('nexusmon_task_report_items_total')}[$__rate_interval]))", "reports"),
            ]),
        ],
    ),
    (
        "Fleet",
        [
            ("Agents", "short", [(f"max by (availability) ({on('nexusmon_agents')})", "{{availability}}")]),
            ("Sessions by coordinator", "short", [(on("nexusmon_agents_online"), "{{instance}}")]),
        ],
    ),
    (
        "Coordinators",
        [
            ("Commit time, 99 of 100", "s", [
                (quantile(0.99, "nexusmon_mission_create_commit_seconds"), "missions"),
                (quantile(0.99, "nexusmon_task_report_commit_seconds"), "reports"),
            ]),
            ("Commit time, median", "s", [
                (quantile(0.5, "nexusmon_mission_create_commit_seconds"), "missions"),
                (quantile(0.5, "nexusmon_task_report_commit_seconds"), "reports"),
            ]),
            ("Requests", "reqps", [
                (f"sum by (status) (rate({on('nexusmon_http_requests_total')}[$__rate_interval]))", "{{status}}"),
            ]),
            ("Answer time, 99 of 100", "s", [(quantile(0.99, "nexusmon_http_request_seconds"), "all routes")]),
            ("Items that wait in memory", "short", [(on("nexusmon_queued"), "{{queue}} {{instance}}")]),
            ("Background work: since its newest run", "s", [
                (on("nexusmon_background_age_seconds"), "{{activity}} {{instance}}"),
            ]),
            ("Background work that fails", "short", [
                (f"sum by (activity) ({on('nexusmon_background_failing')})", "{{activity}}"),
            ]),
            ("Audit entries per second", "ops", [
                (f"max(deriv({on('nexusmon_audit_seq')}[5m]))", "entries"),
            ]),
            ("Event streams", "short", [
                (on("nexusmon_event_listeners"), "open {{instance}}"),
                (on("nexusmon_events_behind"), "entries behind {{instance}}"),
            ]),
        ],
    ),
    (
        "Room",
        [
            ("Files", "bytes", [(on("nexusmon_bytes", 'what=~"database|wal"'), "{{what}} {{instance}}")]),
            ("Disk free", "bytes", [(on("nexusmon_bytes", 'what=~".*_free"'), "{{what}} {{instance}}")]),
            ("Memory", "bytes", [(on("nexusmon_resident_bytes"), "{{instance}}")]),
            ("Open files and sockets", "short", [(on("nexusmon_open_descriptors"), "{{instance}}")]),
            ("Uptime", "s", [(on("nexusmon_uptime_seconds"), "{{instance}}")]),
            ("What runs", "short", [(on("nexusmon_build"), "{{instance}} {{version}} on {{database}}")]),
        ],
    ),
]


def dashboard() -> dict:
    panels: list[dict] = []
    y = 0
    source = {"type": "prometheus", "uid": "$source"}
    for row, graphs in ROWS:
        place = {"h": 1, "w": 24, "x": 0, "y": y}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False, "gridPos": place})
        y += 1
        for index, (title, unit, targets) in enumerate(graphs):
            place = {"h": 7, "w": 8, "x": index % 3 * 8, "y": y + index // 3 * 7}
            panels.append({
                "id": len(panels) + 1,
                "type": "timeseries",
                "title": title,
                "datasource": source,
                "gridPos": place,
                "fieldConfig": {
                    "defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
                    "overrides": [],
                },
                "options": {
                    "legend": {"displayMode": "list", "placement": "bottom"},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                },
                "targets": [
                    {"refId": chr(65 + n), "datasource": source, "expr": expression, "legendFormat": legend}
                    for n, (expression, legend) in enumerate(targets)
                ],
            })
        y += (len(graphs) + 2) // 3 * 7
    source_variable = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    instances = "label_values(nexusmon_uptime_seconds, instance)"
    instance_variable = {
        "name": "instance",
        "label": "Coordinator",
        "type": "query",
        "datasource": source,
        "query": {"query": instances, "refId": "instances"},
        "definition": instances,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": "nexusmon",
        "title": "NEXUSMON",
        "tags": ["nexusmon"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source_variable, instance_variable]},
        "panels": panels,
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("nexusmon.json")
    target.write_text(json.dumps(dashboard(), indent=1) + "\n")
