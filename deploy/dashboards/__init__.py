"""The Grafana dashboards as code: `python -m deploy.dashboards` writes them to `deploy/grafana/dashboards/`.

It stands here, not in `monitor`: nothing of it runs in the daemon, and only developers need Grafana's library.
"""
