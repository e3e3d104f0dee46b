"""Links in alerts that lead nowhere for who gets them."""

from monitor.config import Config


def dead_links(config: Config) -> list[str]:
    """One line for each kind of link that is no address, where somebody is told of alerts."""
    links = config.alerts.links
    if not config.alerts.told:
        return []
    found = []
    if not links.runbooks.startswith(("https://", "http://")):
        found.append(
            f"alerts.links.runbooks is the folder {links.runbooks}: whoever is paged cannot open it; set the address "
            "under which docs/runbooks can be read"
        )
    if links.mlflow is None and not config.mlflow.tracking_uri.startswith(("https://", "http://")):
        found.append("alerts.links.mlflow is not set, and mlflow.tracking_uri is no server's: traces have no link")
    return found
