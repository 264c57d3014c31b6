"""Shared vocabulary of every server process: site, devices, quantities, calendar, clock and the MQTT connection."""
