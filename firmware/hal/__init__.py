"""The only place that imports machine, network and esp32."""
