"""Readings per second from MQTT to InfluxDB: ours, what people would otherwise install, and the limits of the parts."""
