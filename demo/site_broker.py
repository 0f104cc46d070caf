"""The broker of a site's own MQTT sensors: Mosquitto where Debian has it, else the nats-server wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

from demo.children import Child


def site_broker(port: int, folder: Path) -> Child:
    """A plain MQTT broker on loopback; the demo's sensors are on this machine only."""
    mosquitto = shutil.which("mosquitto") or ("/usr/sbin/mosquitto" if Path("/usr/sbin/mosquitto").exists() else None)
    if mosquitto:
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 1000\n",
            encoding="utf-8",
        )
        return Child("site-broker", [mosquitto, "-c", str(config)], folder, {})
    from community_os.broker import find_nats_server

    config = folder / "site-broker.conf"
    config.write_text(
        "server_name: site\nlisten: 127.0.0.1:-1\n"
        f'jetstream {{ store_dir: "{folder / "site-broker"}" }}\nmqtt {{ listen: "127.0.0.1:{port}" }}\n',
        encoding="utf-8",
    )
    return Child("site-broker", [find_nats_server(), "-c", str(config)], folder, {})
