"""Settings of the ingest worker: section ``[ingest]``, variables ``RESIK_INGEST_*``."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from square.access import MAX_WORKERS, worker_name
from square.settings import PipelineSettings

SECTION = "ingest"
ROLLUP_EVERY_S = 300


class IngestSettings(PipelineSettings):
    """What the ingest worker needs to know.

    Attributes
    ----------
    store_url : str
        Time-series store; the grammar stands in :mod:`ingest.stores`.
    store_token_file : Path | None
        File that holds the token or password of the store.
    dead_letter_file : Path
        SQLite file for what could not be stored.
    dead_letter_quota : int
        Letters kept one by one for each device [1..100000]; beyond it they are only counted.
    dead_letter_keep_d : int
        Letters are deleted this long after they were last seen [days of square time, 1..3650].
    worker : int | None
        Number among several workers of the site [1..99], each with another one. Unset: this is the only worker.
    shared_group : str
        Name under which several workers share the batches: ``ingest``, or ``ingest-`` and something that only they know
        [A-Z a-z 0-9 _ -]. The same in all of them.
    client_id : str | None
        MQTT client id [3..32 of a-z 0-9 -]; unset: ``ingest``, of the workers from 2 on ``ingest-<number>``.
    linger_ms : int
        How long to wait for more batches before a write, at least [ms, 0..1000]; after a large write longer, up to 200.
        0: never.
    max_points : int
        Points written to the store at once [1..20000].
    rollup_every_s : int | None
        Time between two runs of the roll-up job [s, 0..86400]. 0: another worker of the site does it. Unset: 300 for
        the only worker and for number 1, 0 for the others.
    rollup_late_s : int
        An hour is rolled up this long after its end [s of square time, 60..7200]; readings that come later have it
        done again. MUST be the same in all workers of a site.
    utc_offset_min : int
        Days of the daily series: how far they are ahead of UTC [min, whole hours]. Fixed by the first run.
    trace_file : Path | None
        When set, a line ``device,boot,seq,wall_ns`` is appended for every reading once the store has accepted it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True, env_prefix="RESIK_INGEST_")

    store_url: str = "sqlite:///var/real/points.sqlite3"
    store_token_file: Path | None = None
    dead_letter_file: Path = Path("var/real/deadletters.sqlite3")
    dead_letter_quota: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    dead_letter_keep_d: Annotated[int, Field(ge=1, le=3_650)] = 90
    worker: Annotated[int | None, Field(ge=1, le=MAX_WORKERS)] = None
    shared_group: Annotated[str, Field(pattern=r"^ingest(-[A-Za-z0-9_-]{1,64})?$")] = "ingest"
    client_id: Annotated[str | None, Field(pattern=r"^[a-z0-9-]{3,32}$")] = None
    linger_ms: Annotated[int, Field(ge=0, le=1_000)] = 5
    max_points: Annotated[int, Field(ge=1, le=20_000)] = 5_000
    rollup_every_s: Annotated[int | None, Field(ge=0, le=86_400)] = None
    rollup_late_s: Annotated[int, Field(ge=60, le=7_200)] = 900
    utc_offset_min: Annotated[int, Field(ge=-720, le=840, multiple_of=60)] = 420
    trace_file: Path | None = None

    @property
    def name(self) -> str:
        """Return the user name and client id of this worker where nothing else is set."""
        return worker_name(self.worker or 1)

    @property
    def rolls_up_every_s(self) -> int:
        """Return the time between two runs of the roll-up job [s]; 0 when another worker does it."""
        if self.rollup_every_s is not None:
            return self.rollup_every_s
        return ROLLUP_EVERY_S if self.worker in {None, 1} else 0
