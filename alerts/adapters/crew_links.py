"""The file with the secret links of the crews.

The store keeps only hashes, so a token exists in clear in this file alone. Hand the links out (a QR code per
person), then the file may be moved to a safe place: links go on working, and new crew members get a new file.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from square.errors import SettingsError
from square.files import write_whole


def read_links(path: Path) -> dict[str, str]:
    """Return ``{crew id: token}``, empty when there is no file.

    Raises
    ------
    SettingsError
        If the file is no JSON object of strings.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"crew_links_file {path} cannot be read ({error}): move it away or repair it") from error
    if not isinstance(found, dict) or not all(isinstance(token, str) for token in found.values()):
        raise SettingsError(f"crew_links_file {path} is no JSON object of crew ids and tokens: move it away")
    return found


def write_links(path: Path, links: Mapping[str, str]) -> None:
    """Replace the file, readable by its owner alone, so that a crash leaves the old or the new one.

    Raises
    ------
    SettingsError
        If the folder cannot be written.
    """
    text = json.dumps(dict(sorted(links.items())), indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, text.encode())
    except OSError as error:
        raise SettingsError(f"crew_links_file {path} cannot be written ({error}): check the folder's rights") from error
