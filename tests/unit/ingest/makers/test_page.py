"""docs/makers.md says what the code does."""

import re
import tomllib
from pathlib import Path

from gateway.settings import GatewaySettings
from ingest.makers.senml import MEANINGS
from square.makes import CODEC_KINDS, FORMATS

PAGE = (Path(__file__).parents[4] / "docs" / "makers.md").read_text(encoding="utf-8")


def test_the_table_has_every_codec_with_its_kinds() -> None:
    """Each codec that may be registered is one row, under the kinds of device that the site check allows."""
    rows = re.findall(r"^\|[^|]*\|[^|]*\| `([a-z0-9-]+)` \| ([a-z, ]+) \|", PAGE, re.MULTILINE)
    assert {codec: tuple(kinds.split(", ")) for codec, kinds in rows} == CODEC_KINDS


def test_the_table_has_every_name_and_unit_of_senml() -> None:
    """Names and units are those of the code, no more and no less."""
    listed = {}
    for names, units in re.findall(r"^\| ((?:`[a-z0-9_.]+`,? ?)+)\| ((?:`[^`|]+` ?)+)\|", PAGE, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            listed[name] = set(re.findall(r"`([^`]+)`", units))
    assert listed == {name: set(meaning.units) for name, meaning in MEANINGS.items()}


def test_the_sample_of_the_settings_is_accepted_and_names_every_format() -> None:
    """The lines can be copied."""
    _, settings = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    makes = GatewaySettings(**tomllib.loads(settings)["gateway"]).makes
    assert {make.format for make in makes} == set(FORMATS)
