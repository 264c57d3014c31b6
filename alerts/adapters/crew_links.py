"""The file with the secret links of the crews.

The store keeps only hashes, so a token exists in clear in this file alone. Hand the links out (a QR code per
person), then the file may be moved to a safe place: links go on working, and new crew members get a new file.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from square.errors import SettingsError


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
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(dict(sorted(links.items())), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise SettingsError(f"crew_links_file {path} cannot be written ({error}): check the folder's rights") from error
