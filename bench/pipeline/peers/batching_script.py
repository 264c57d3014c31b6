"""The script that a handy person writes: paho-mqtt, json, and the batching writer of influxdb-client.

It acknowledges before anything is stored, checks nothing, and loses what is in its memory when it dies.

``python -m bench.pipeline.peers.batching_script --port BROKER --url http://127.0.0.1:8086 --filter TOPICS``
"""

import argparse
import json
import signal
from typing import Any

import paho.mqtt.client as mqtt
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import WriteOptions
from paho.mqtt.enums import CallbackAPIVersion

NUMBERS = ("seq", "distance_mm", "temp_cdeg", "tilt_deg", "battery_mv", "rssi_dbm", "quality", "up_s")


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--filter", required=True)
    parser.add_argument("--bucket", default="bench")
    arguments = parser.parse_args()
    influx = InfluxDBClient(url=arguments.url, token="none", org="none")  # noqa: S106 - authentication is off
    writer = influx.write_api(write_options=WriteOptions(batch_size=5_000, flush_interval=1_000))
    bucket = arguments.bucket

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(arguments.filter, qos=1)

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        values = json.loads(message.payload)
        point = Point("bin").tag("device", values["device"]).time(values["timestamp"], write_precision="s")
        for name in NUMBERS:
            point.field(name, values[name])
        writer.write(bucket=bucket, record=point.field("state", values["state"]))

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="batching-script")
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", arguments.port)
    signal.signal(signal.SIGTERM, lambda *_: client.disconnect())
    client.loop_forever()
    writer.close()
    influx.close()


if __name__ == "__main__":
    main()
