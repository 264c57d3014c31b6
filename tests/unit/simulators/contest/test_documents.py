"""What docs/contest.md says is so: figures, keys, the policy of ten minutes."""

import re
import textwrap
from pathlib import Path

import msgspec

from simulators.contest import truth
from simulators.contest.grade import play_seed
from simulators.contest.measures import FIGURES
from simulators.contest.policy import known_policies, policy_maker, register
from simulators.contest.score import score
from tests.unit.simulators.contest.logs import belief_log, perfect
from tests.unit.simulators.contest.logs import truth as true_log
from tests.unit.simulators.contest.stages import stage

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "contest.md").read_text(encoding="utf-8")


def test_every_figure_is_explained():
    """Each figure with the unit and the meaning that the code gives."""
    rows = [f"| `{name}` | {unit or '-'} | {meaning} |" for name, (unit, meaning) in FIGURES.items()]
    assert [row for row in rows if row not in PAGE] == []


def test_every_policy_and_every_key_of_the_logs_is_named():
    """Built-in policies, kinds of lines and their keys, groups of the score."""
    names = ["fixed", "threshold", "predictive", "oracle", *score(true_log(), belief_log(perfect()))]
    for kind in (truth.Fill, truth.Emptied, truth.NodeFault, truth.Believed):
        names += [kind.__struct_config__.tag, *kind.__struct_fields__]
    assert {"fixed", "threshold", "predictive", "oracle"} <= set(known_policies())
    assert [name for name in names if f"`{name}`" not in PAGE and name not in {"who", "bins", "moments"}] == []


def test_the_policy_of_ten_minutes_plays(monkeypatch):
    """The code of the guide, as it is printed there, empties the bins of the food street and nothing else."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    scope = {}
    exec(compile(textwrap.dedent(code), "docs/contest.md", "exec"), scope)  # noqa: S102 - our own page
    monkeypatch.setattr("simulators.contest.policy._registered", {})
    register("evening", scope["Evening"])
    assert policy_maker("evening")().name == "evening"
    figures = play_seed(stage(), ["evening"], seed=1, days=2 / 24).figures["evening"]
    bins = [one for one in stage().site.bins if one.zone == "zona-kuliner"]
    assert figures["emptyings"] >= len(bins) > 0
    assert figures["swept"] == 0


def test_the_first_line_of_the_logs_is_printed_as_it_is_written():
    """Keys of the head, in their order."""
    (line,) = re.findall(r'`(\{"kind":"square".*?\})`', PAGE)
    keys = re.findall(r'"(\w+)":', line)
    assert keys == [
        "kind",
        *(name for name in msgspec.json.decode(msgspec.json.encode(true_log().head)) if name != "kind"),
    ]
