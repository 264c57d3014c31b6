"""The node's own MQTT client, TLS and NTP."""
