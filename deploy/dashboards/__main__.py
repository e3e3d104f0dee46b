"""Write the dashboards where Grafana's provisioning finds them."""

from deploy.dashboards.rendering import FOLDER, all_rendered

FOLDER.mkdir(parents=True, exist_ok=True)
for name, text in all_rendered().items():
    (FOLDER / name).write_text(text, encoding="utf-8")
