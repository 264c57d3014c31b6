"""Setting up InfluxDB: retention policies in 1.x, a bucket for each shelf in 2.x, a database for each in 3.x.

Sources (docs.influxdata.com): ``influxdb/v1/query_language/manage-database``; ``influxdb/v2/api/buckets``,
``influxdb/v2/api/dbrps`` and ``influxdb/v2/query-data/influxql/dbrp``; ``influxdb3/core/api/database`` and
``influxdb3/enterprise/reference/internals/data-retention``. InfluxDB 3 Core sets a retention only when a database is
made; that a list of databases names no retention and ``system.databases`` does was seen by others on 3 Core.
"""

import re
from typing import Any, Final, Literal

import msgspec
import urllib3

from ingest.errors import StoreRefused
from ingest.stores.admin import Keeping
from ingest.stores.endpoint import Endpoint, Place, Reply
from ingest.stores.influxql import DatabaseMissing, InfluxQLReads, own_database, quote_name
from ingest.stores.replies import failure, reason
from ingest.stores.shelves import SHELVES, Shelf

_SHARDS: Final[dict[Shelf, str]] = {"raw": "1d", "hourly": "26w", "daily": "52w"}
"""Shard lengths of 1.x: readings go by the day, the others in few files, each shorter than the shortest retention."""

_SHARD_FOR_EVER: Final = "7d"
"""Of readings that are never dropped: what 1.x takes by itself, as a shard for each day would be too many."""

_DAY_S: Final = 86_400
_CONFLICT: Final = 409
_MISSING: Final = 404


class Influx1Admin:
    """Sets up InfluxDB 1.x by InfluxQL; the user needs admin rights where authentication is on.

    Readings stand in the default retention policy, whatever its name: making another one the default would hide what
    is stored already.
    """

    def __init__(self, base: str, *, database: str, user: str | None, password: str | None) -> None:
        headers = urllib3.make_headers(basic_auth=f"{user}:{password or ''}") if user else {}
        place = Place(server=f"InfluxDB 1.x at {base}", container="database", name=database)
        self._database = database
        self._endpoint = Endpoint(base, headers, place)
        self._influxql = InfluxQLReads(self._endpoint, database)
        self._default = "raw"

    def found(self) -> dict[Shelf, Keeping]:
        """Return the policies of the database, if it is there."""
        try:
            tables = self._influxql.query(f"SHOW RETENTION POLICIES ON {quote_name(self._database)}")
        except DatabaseMissing:
            return {}
        shelves: dict[Shelf, Keeping] = {}
        for table in tables:
            for values in table.values:
                policy = dict(zip(table.columns, values, strict=True))
                keeping = Keeping(f"{self._database}/{policy['name']}", _days(policy["duration"]))
                if policy["default"]:
                    self._default = policy["name"]
                    shelves["raw"] = keeping
                elif policy["name"] in {"hourly", "daily"}:
                    shelves[policy["name"]] = keeping
        return shelves

    def container(self, shelf: Shelf) -> str:
        """Return database and policy."""
        return f"{self._database}/{shelf}"

    def make(self, shelf: Shelf, days: int | None) -> None:
        """Make the database with its default policy, or another policy."""
        terms = f"DURATION {_duration(days)} REPLICATION 1 SHARD DURATION {_shard(shelf, days)}"
        if shelf == "raw":
            self._change(f"CREATE DATABASE {quote_name(self._database)} WITH {terms} NAME {quote_name(shelf)}")
        else:
            self._change(f"CREATE RETENTION POLICY {quote_name(shelf)} ON {quote_name(self._database)} {terms}")

    def change(self, shelf: Shelf, days: int | None) -> None:
        """Alter a policy."""
        name = self._default if shelf == "raw" else shelf
        self._change(
            f"ALTER RETENTION POLICY {quote_name(name)} ON {quote_name(self._database)} "
            f"DURATION {_duration(days)} SHARD DURATION {_shard(shelf, days)}"
        )

    def finish(self) -> list[str]:
        """Nothing remains."""
        return []

    def close(self) -> None:
        """Close idle connections."""
        self._endpoint.close()

    def _change(self, statement: str) -> None:
        self._influxql.query(statement, method="POST")


class _JsonAdmin:
    """JSON over HTTP, as 2.x and 3.x want it."""

    def __init__(self, base: str, name: str, place: Place, headers: dict[str, str]) -> None:
        self._name = name
        self._endpoint = Endpoint(base, headers, place)

    def container(self, shelf: Shelf) -> str:
        """Return the bucket or database of a shelf."""
        return own_database(self._name, shelf)

    def close(self) -> None:
        """Close idle connections."""
        self._endpoint.close()

    def _ask(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH"],
        path: str,
        parameters: dict[str, str] | None = None,
        document: object = None,
    ) -> Reply:
        body = None if document is None else msgspec.json.encode(document)
        return self._endpoint.request(method, path, parameters or {}, body, content="application/json")

    def _done(self, reply: Reply, rights: str) -> Any:
        """Return the document of a good answer; another one is an error that names what the token needs."""
        if reply.status in {401, 403}:
            raise StoreRefused(
                f"{self._endpoint.place.server} does not let this token do that (HTTP {reply.status}: "
                f"{reason(reply)}): give `resik store init` a token that may {rights}; ingest needs less"
            )
        if not 200 <= reply.status < 300:  # noqa: PLR2004 - the HTTP class of success
            raise failure(reply, self._endpoint.place)
        try:
            return msgspec.json.decode(reply.body) if reply.body.strip() else None
        except msgspec.DecodeError as error:
            raise StoreRefused(f"{self._endpoint.place} answered no JSON: correct the address in store_url") from error


class Influx2Admin(_JsonAdmin):
    """Sets up InfluxDB 2.x: buckets, and a DBRP mapping for each, by which InfluxQL finds it."""

    def __init__(self, base: str, *, org: str, bucket: str, token: str) -> None:
        place = Place(server=f"InfluxDB 2.x at {base}", container="bucket", name=bucket)
        super().__init__(base, bucket, place, {"Authorization": f"Token {token}"})
        self._org = org
        self._org_id = ""
        self._ids: dict[Shelf, str] = {}

    def found(self) -> dict[Shelf, Keeping]:
        """Return the buckets of the organisation that are there."""
        self._org_id = self._find_org()
        shelves: dict[Shelf, Keeping] = {}
        for shelf in SHELVES:
            name = self.container(shelf)
            reply = self._ask("GET", "/api/v2/buckets", {"orgID": self._org_id, "name": name})
            if reply.status == _MISSING:
                continue
            for bucket in (self._done(reply, "read buckets") or {}).get("buckets", []):
                if bucket["name"] == name:
                    self._ids[shelf] = bucket["id"]
                    shelves[shelf] = Keeping(name, _rule_days(bucket.get("retentionRules") or []))
        return shelves

    def make(self, shelf: Shelf, days: int | None) -> None:
        """Make a bucket."""
        document = {"orgID": self._org_id, "name": self.container(shelf), "retentionRules": _rules(days)}
        made = self._done(self._ask("POST", "/api/v2/buckets", document=document), "write buckets")
        self._ids[shelf] = made["id"]

    def change(self, shelf: Shelf, days: int | None) -> None:
        """Give a bucket another retention."""
        document = {"retentionRules": _rules(days)}
        self._done(self._ask("PATCH", f"/api/v2/buckets/{self._ids[shelf]}", document=document), "write buckets")

    def finish(self) -> list[str]:
        """Map a database of the name of each bucket to it, unless 2.x does so by itself (a virtual mapping)."""
        made = []
        for shelf in SHELVES:
            name, bucket_id = self.container(shelf), self._ids[shelf]
            reply = self._ask("GET", "/api/v2/dbrps", {"orgID": self._org_id, "bucketID": bucket_id})
            held = (self._done(reply, "read dbrp") or {}).get("content") or []
            if any(mapping["database"] == name for mapping in held):
                continue
            document = {
                "orgID": self._org_id,
                "bucketID": bucket_id,
                "database": name,
                "retention_policy": "autogen",
                "default": True,
            }
            self._done(self._ask("POST", "/api/v2/dbrps", document=document), "write dbrp")
            made.append(f"dbrp {name}/autogen")
        return made

    def _find_org(self) -> str:
        reply = self._ask("GET", "/api/v2/orgs", {"org": self._org})
        orgs = [] if reply.status == _MISSING else (self._done(reply, "read orgs") or {}).get("orgs", [])
        for org in orgs:
            if org["name"] == self._org:
                return str(org["id"])
        raise StoreRefused(
            f"{self._endpoint.place.server} has no organisation {self._org!r} for this token: create it, or correct "
            "its name in store_url"
        )


class Influx3Admin(_JsonAdmin):
    """Sets up InfluxDB 3.x: a database for each shelf."""

    def __init__(self, base: str, *, database: str, token: str | None) -> None:
        place = Place(server=f"InfluxDB 3.x at {base}", container="database", name=database)
        super().__init__(base, database, place, {"Authorization": f"Bearer {token}"} if token else {})

    def found(self) -> dict[Shelf, Keeping]:
        """Return the databases that are there."""
        listed = self._done(self._ask("GET", "/api/v3/configure/database", {"format": "json"}), "administer the server")
        there = {row.get("iox::database") for row in listed or []}
        shelves: list[Shelf] = [shelf for shelf in SHELVES if self.container(shelf) in there]
        if not shelves:
            return {}
        kept_d = self._retention()
        return {shelf: Keeping(self.container(shelf), kept_d.get(self.container(shelf))) for shelf in shelves}

    def make(self, shelf: Shelf, days: int | None) -> None:
        """Make a database; one that appeared meanwhile is as good."""
        reply = self._ask("POST", "/api/v3/configure/database", document=self._document(shelf, days))
        if reply.status != _CONFLICT:
            self._done(reply, "administer the server")

    def change(self, shelf: Shelf, days: int | None) -> None:
        """Give a database another retention, where the server can.

        Raises
        ------
        StoreRefused
            On 3 Core, with the way out.
        """
        reply = self._ask("PUT", "/api/v3/configure/database", document=self._document(shelf, days))
        if reply.status in {400, 404, 405, 501}:
            raise StoreRefused(
                f"this InfluxDB 3 cannot change the retention of {self.container(shelf)!r} (HTTP {reply.status}: "
                f"{reason(reply)}); Core sets it only when a database is made: name another database in store_url, "
                "run `resik store init` on it, and move the history there with `resik store migrate`"
            )
        self._done(reply, "administer the server")

    def finish(self) -> list[str]:
        """Nothing remains."""
        return []

    def _document(self, shelf: Shelf, days: int | None) -> dict[str, str]:
        name = {"db": self.container(shelf)}
        return name if days is None else name | {"retention_period": f"{days}d"}

    def _retention(self) -> dict[str, int | None]:
        """Return the days of every database that has a retention."""
        parameters = {"db": "_internal", "format": "json", "q": "SELECT * FROM system.databases"}
        rows = self._done(self._ask("GET", "/api/v3/query_sql", parameters), "administer the server") or []
        names = [row.get("database_name") or row.get("name") for row in rows]
        if None in names:
            raise StoreRefused(
                f"{self._endpoint.place.server} does not say how long it keeps its databases: set their retention by "
                "hand, see docs/stores.md"
            )
        return {
            str(name): round(row["retention_period_ns"] / 1e9 / _DAY_S)
            for name, row in zip(names, rows, strict=True)
            if row.get("retention_period_ns")
        }


def _rules(days: int | None) -> list[dict[str, object]]:
    return [] if days is None else [{"type": "expire", "everySeconds": days * _DAY_S}]


def _rule_days(rules: list[dict[str, Any]]) -> int | None:
    seconds = [rule["everySeconds"] for rule in rules if rule.get("everySeconds")]
    return min(seconds) // _DAY_S if seconds else None


def _duration(days: int | None) -> str:
    return "INF" if days is None else f"{days}d"


def _shard(shelf: Shelf, days: int | None) -> str:
    return _SHARD_FOR_EVER if shelf == "raw" and days is None else _SHARDS[shelf]


def _days(duration: str) -> int | None:
    """Return a duration as 1.x prints it (``2160h0m0s``) in whole days, None for ever.

    >>> _days("2160h0m0s"), _days("0s")
    (90, None)
    """
    hours = re.match(r"(\d+)h", duration)
    return int(hours[1]) // 24 if hours else None
