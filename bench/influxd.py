"""The configuration of an InfluxDB 1.x that benches and tests start for themselves."""

from pathlib import Path


def configuration(data: Path, *, port: int, rpc_port: int, auth: bool = False) -> str:
    """Return the text of an ``influxd.toml``: loopback only, all files under `data`, nothing that runs by itself.

    Parameters
    ----------
    data
        Folder of the server's files.
    port, rpc_port
        Where it answers HTTP, and its backup port.
    auth
        Whether it asks for user and password.
    """
    return f"""
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{data}/meta"
[data]
  dir = "{data}/data"
  wal-dir = "{data}/wal"
  index-version = "inmem"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = {str(auth).lower()}
  log-enabled = false
[monitor]
  store-enabled = false
[continuous_queries]
  enabled = false
[subscriber]
  enabled = false
"""
