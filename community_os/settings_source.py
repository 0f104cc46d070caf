"""Where cloud.yaml is read (I/O); what it may say stands in settings.py."""

from __future__ import annotations

from pathlib import Path

from community_os.settings import CloudSettings, parse_cloud
from device_model.library import read_text


def read_settings(config: Path | None) -> CloudSettings:
    """cloud.yaml, or safe defaults: loopback, sign-in required, no sites. Raises ConfigError, LocalFault."""
    return CloudSettings() if config is None else parse_cloud(read_text(config), str(config))
