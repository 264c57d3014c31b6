"""Messages of other makes as network servers and sensors publish them."""

import base64
import json
from typing import Any

EUI = "70b3d57ed0001234"
DISTANCE_FRAME = bytes.fromhex("0e1c0b0500")
"""Dragino LDDS75: 3,612 mV, 2,821 mm."""
AT = "2026-11-24T03:32:32.775023242+00:00"
"""1,795,491,152 s since 1970: `date -ud '2026-11-24 03:32:32' +%s`."""
AT_S = 1_795_491_152


def chirpstack(*, data: bytes = DISTANCE_FRAME, **changes: Any) -> bytes:
    """Make a ChirpStack v4 up event; keys of `changes` replace, None removes."""
    event = {
        "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
        "time": AT,
        "deviceInfo": {
            "tenantId": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
            "tenantName": "Kota Pasuruan",
            "applicationId": "17c82e96-be03-4f38-aef3-f83d48582d97",
            "deviceName": "tong-7",
            "devEui": EUI,
            "tags": {},
        },
        "devAddr": "00189440",
        "adr": True,
        "dr": 1,
        "fCnt": 4,
        "fPort": 2,
        "confirmed": False,
        "data": base64.b64encode(data).decode(),
        "rxInfo": [
            {"gatewayId": "0016c001f153a14c", "uplinkId": 4217106255, "rssi": -97, "snr": 8.5, "context": "AAAAAA=="},
            {"gatewayId": "0016c001f153a14d", "uplinkId": 1, "rssi": -64, "snr": 9, "context": "AAAAAA=="},
        ],
        "txInfo": {"frequency": 923200000, "modulation": {"lora": {"bandwidth": 125000, "spreadingFactor": 11}}},
    }
    return json.dumps({name: value for name, value in (event | changes).items() if value is not None}).encode()


def ttn(*, data: bytes = DISTANCE_FRAME, top: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """Make an up message of The Things Stack v3; `changes` replace keys of its uplink_message, None removes."""
    message = {
        "session_key_id": "AYA4ZzU6rGzvTYtlQz4Bvw==",
        "f_port": 2,
        "f_cnt": 12,
        "frm_payload": base64.b64encode(data).decode(),
        "rx_metadata": [{"gateway_ids": {"gateway_id": "gw1"}, "rssi": -102, "channel_rssi": -102, "snr": 5.2}],
        "settings": {"data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7}}},
        "received_at": "2026-11-24T03:32:32.524Z",
        "consumed_airtime": "0.056576s",
    }
    up = {
        "end_device_ids": {
            "device_id": "tong-7",
            "application_ids": {"application_id": "resik"},
            "dev_eui": EUI.upper(),
            "join_eui": "0000000000000000",
            "dev_addr": "260B5C1A",
        },
        "correlation_ids": ["gs:uplink:01FZ"],
        "received_at": "2026-11-24T03:32:32.731Z",
        "uplink_message": {name: value for name, value in (message | changes).items() if value is not None},
    }
    return json.dumps(up | (top or {})).encode()


def senml(*records: dict[str, Any]) -> bytes:
    """Make a SenML pack."""
    return json.dumps(records).encode()
