"""mqtt2influxdb of PyPI: a bridge made of a YAML file, one write per message, over the hop."""

import json

from bench.pipeline.peers.installing import python_folder
from bench.pipeline.stage import DATABASE, Stage

PROCESS = "mqtt2influxdb"
FIELDS = "seq distance_mm temp_cdeg tilt_deg battery_mv rssi_dbm quality up_s state"


def start(stage: Stage, topic_filter: str) -> None:
    """Install where needed, and start.

    Raises
    ------
    NotInstallable
        With the reason.
    """
    folder = python_folder()
    configuration = {
        "mqtt": {"host": "127.0.0.1", "port": stage.broker_port},
        "influxdb": {
            "host": "http://127.0.0.1",
            "port": stage.hop_port,
            "token": "none",
            "org": "none",
            "bucket": DATABASE,
        },
        "points": [
            {
                "measurement": "bin",
                "topic": topic_filter,
                "qos": 1,
                "fields": {name: f"$.payload.{name}" for name in FIELDS.split()},
                "tags": {"device": "$.payload.device"},
            }
        ],
    }
    path = stage.folder / "mqtt2influxdb.yaml"
    path.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML
    stage.start(PROCESS, [str(folder / "bin" / "mqtt2influxdb"), "-c", str(path)])
