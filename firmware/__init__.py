"""What runs on the ESP32. Server code imports only :mod:`firmware.wire`."""
