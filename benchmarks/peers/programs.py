"""The peers: ingestr, dlt and sling, each in the fastest way that its documentation recommends."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.peers.peer import FOLDER, Peer, uri
from local.postgres.databases import SOURCE

Command = Callable[[Peer, Environment], list[str | Path]]
_TABLE = "public.sales_order"


def _ingestr(peer: Peer, environment: Environment) -> list[str | Path]:
    return [
        peer.environment / "bin" / "ingestr",
        "ingest",
        *("--source-uri", uri(environment, SOURCE), "--source-table", _TABLE),
        *("--dest-uri", uri(environment, peer.database), "--dest-table", _TABLE),
        *("--incremental-strategy", "merge", "--primary-key", "sales_order_id", "--incremental-key", "last_updated"),
        *_since_last_time(peer, environment),
        *("--yes", "--progress", "log"),
    ]


def _since_last_time(peer: Peer, environment: Environment) -> list[str]:
    """Returns the start of the interval for ingestr, which keeps no state and would otherwise read everything."""
    if environment.postgres.execute(f"SELECT to_regclass('{_TABLE}')", peer.database) == ([None],):
        return []
    ((latest,),) = environment.postgres.execute(f"SELECT max(last_updated) FROM {_TABLE}", peer.database)
    return ["--interval-start", latest.isoformat()] if latest else []


def _dlt(disposition: str) -> Command:
    def command(peer: Peer, environment: Environment) -> list[str | Path]:
        # SQLAlchemy, ConnectorX and ADBC each read the socket's folder from a different part of the URI.
        folder = environment.postgres.host.replace("/", "%2F")
        return [
            peer.environment / "bin" / "python",
            FOLDER / "dlt_pipeline.py",
            uri(environment, SOURCE, "postgresql+psycopg2", host=folder),
            uri(environment, peer.database, user="postgres:none", host="localhost"),
            peer.state,
            disposition,
        ]

    return command


def _sling(peer: Peer, environment: Environment) -> list[str | Path]:
    programs = peer.environment.glob("lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")
    return [
        next(programs, "sling"),
        "run",
        *("--src-conn", "SRC", "--src-stream", _TABLE, "--tgt-conn", "TGT", "--tgt-object", _TABLE),
        *("--mode", "incremental", "--primary-key", "sales_order_id", "--update-key", "last_updated"),
    ]


PEERS = (
    Peer("ingestr, merge", "ingestr", _ingestr),
    Peer("dlt, merge", "dlt", _dlt("merge")),
    Peer("dlt, append", "dlt", _dlt("append"), appends=True),
    Peer("sling, incremental", "sling", _sling),
)
