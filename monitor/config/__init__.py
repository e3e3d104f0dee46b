"""The configuration: one YAML file (or several, later ones win) into one validated, frozen value."""

from monitor.config.loading import load_config
from monitor.config.model import Config, config_schema
from monitor.config.problems import ConfigError, Problem

__all__ = ["Config", "ConfigError", "Problem", "config_schema", "load_config"]
