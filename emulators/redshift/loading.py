"""Runs a COPY in the client's own transaction."""

from __future__ import annotations

import asyncio

from emulators.redshift import copying, wire
from emulators.redshift.backend import Backend, BackendError
from emulators.redshift.refusals import Refusal
from emulators.redshift.wire import Message

_CHUNK = 256 * 1024
_COLUMNS = """SELECT attname, format_type(atttypid, atttypmod), attidentity <> '' FROM pg_attribute
WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""


async def load(database: Backend, files: copying.Files, sql: str) -> int:
    """Load what a COPY names, and return the number of rows.

    Raises:
        Refusal: the files do not fit the table, or PostgreSQL refuses their rows.
    """
    copy = copying.read(sql)
    try:
        found = await database.ask(_COLUMNS.format(table=copy.table))
    except BackendError as error:
        raise Refusal(*error.args) from error
    if not found:
        raise Refusal("42P01", f'relation "{copy.table}" does not exist')
    kinds = {str(name): str(kind) for name, kind, _ in found}
    filled = copy.columns or tuple(str(name) for name, _, is_identity in found if is_identity == "f")
    columns = [copying.Column(name, kinds.get(name, "")) for name in filled]
    tables = await asyncio.to_thread(files.tables, copy)
    rows = b"".join([await asyncio.to_thread(copying.as_csv, one, copy, columns) for one in tables])
    names = ", ".join(f'"{column.name}"' for column in columns)
    await database.send([wire.query(f"COPY {copy.table} ({names}) FROM STDIN (FORMAT csv)")])
    return await _stream(database, copy.table, rows)


async def _stream(database: Backend, table: str, rows: bytes) -> int:
    failed, loaded = False, 0
    async for message in database.answers():
        failed = failed or message.kind == b"E"
    if not failed:
        pieces = (rows[at : at + _CHUNK] for at in range(0, len(rows), _CHUNK))
        await database.send([*(Message(b"d", piece) for piece in pieces), Message(b"c")])
        async for message in database.answers():
            failed = failed or message.kind == b"E"
            if message.kind == b"C":
                loaded = int(message.body[:-1].split()[-1])
    if failed:
        raise Refusal("XX000", copying.FAILED.format(table=table))
    return loaded
