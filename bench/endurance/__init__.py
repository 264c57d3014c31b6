"""The fault campaign: everything is killed, cut, filled, slowed and set wrong; nothing may be lost or stored twice."""
