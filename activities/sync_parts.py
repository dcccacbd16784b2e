"""The staged parts of a run: sealed NDJSON of records or outcomes, and lists of references to them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, JsonValue

from activities.storage.staging import Staging
from contracts.dataset import DatasetRef
from contracts.sync_steps import MAX_INLINE_PARTS, PartList

M = TypeVar("M", bound=BaseModel)
_SLICE_ROWS = 10_000


class StagedRecord(BaseModel):
    """One line of a part: a mapped record, or the reason why it was rejected before any vendor saw it."""

    id: str
    properties: Annotated[dict[str, JsonValue], Field(max_length=1_000)] = {}
    rejected: str = ""
    digest: str = ""
    """Tells the source's contents under one id apart."""
    source: str = ""
    """The source's record as JSON, where it is not the properties themselves."""
    changed_at: str = ""
    """When the source's record was changed, as it says itself."""
    anonymous: bool = False
    """Whether `id` is only the record's place in the report."""
    final: bool = False
    """Whether only the source can mend what it was rejected for."""
    decision: str = ""
    """Which side somebody decided for, and about which state of the target (`asks`)."""
    asks: str = ""


class Parts:
    """Reads and writes the staged files of one run.

    Args:
        staging: the sealed object store.
        organization_id: seals the files.
        run_id: the run's own name.
        kind: what kind of run it is.
    """

    def __init__(self, staging: Staging, organization_id: str, run_id: str, kind: str = "sync") -> None:
        self._staging = staging
        # A colon is allowed in ids but not in object keys.
        self._prefix = f"{organization_id.replace(':', '-')}/{kind}/{run_id.replace(':', '-')}"

    async def write(self, name: str, rows: Sequence[BaseModel]) -> DatasetRef:
        """Stage `rows` as the object `name` of the run. Idempotent: yes, by name."""
        with self._staging.scratch() as folder:
            path = folder / "rows.ndjson"
            await asyncio.to_thread(_write, path, rows)
            return await self._staging.put_file(f"{self._prefix}/{name}", path, len(rows))

    async def write_file(self, name: str, path: Path, rows: int) -> DatasetRef:
        """Stage a plain NDJSON file as the object `name` of the run. Idempotent: yes, by name."""
        return await self._staging.put_file(f"{self._prefix}/{name}", path, rows)

    async def read(self, ref: DatasetRef, model: type[M]) -> list[M]:
        """Return the rows of a staged object.

        Raises:
            Transient: `staging_missing`.
            Permanent: `staging_corrupt`.
        """
        with self._staging.scratch() as folder:
            path = await self._staging.fetch(ref, folder)
            return await asyncio.to_thread(lambda: list(rows_of(path, model)))

    async def slices(self, ref: DatasetRef, model: type[M]) -> AsyncIterator[list[M]]:
        """Yield the rows of a staged object of any size, at most 10,000 at once.

        Raises:
            Transient: `staging_missing`.
            Permanent: `staging_corrupt`.
        """
        with self._staging.scratch() as folder:
            rows = rows_of(await self._staging.fetch(ref, folder), model)
            while some := await asyncio.to_thread(lambda: list(islice(rows, _SLICE_ROWS))):
                yield some

    async def join(self, name: str, refs: Sequence[DatasetRef]) -> DatasetRef:
        """Stage the rows of several objects as one object `name`. Idempotent: yes, by name."""
        with self._staging.scratch() as folder:
            path = folder / "joined.ndjson"
            for ref in refs:
                part = await self._staging.fetch(ref, folder)
                await asyncio.to_thread(_append, part, path)
            path.touch()
            return await self._staging.put_file(f"{self._prefix}/{name}", path, sum(ref.rows for ref in refs))

    async def listed(self, refs: Sequence[DatasetRef], segments: Sequence[DatasetRef] = ()) -> PartList:
        """Return the list of all parts: inline when they are few, otherwise as one staged manifest."""
        everything = [ref for segment in segments for ref in await self.read(segment, DatasetRef)] + list(refs)
        if len(everything) <= MAX_INLINE_PARTS:
            return PartList(inline=everything, count=len(everything))
        return PartList(manifest=await self.write("parts/manifest.ndjson", everything), count=len(everything))

    async def refs(self, parts: PartList, first: int, count: int) -> list[DatasetRef]:
        """Return `count` references from number `first` on; an inline list holds just the wanted ones."""
        if parts.manifest is None:
            return list(parts.inline)
        return (await self.read(parts.manifest, DatasetRef))[first : first + count]

    async def put_note(self, name: str, text: str) -> None:
        """Stage a short text as the object `name` of the run. Idempotent: yes, by name."""
        await self._staging.put_note(f"{self._prefix}/{name}", text)

    async def note(self, name: str) -> str:
        """Return the text staged as `name`, nothing where there is none."""
        return await self._staging.note(f"{self._prefix}/{name}") or ""

    async def drop_parts(self) -> None:
        """Delete the staged records of the run; outcomes stay. Idempotent: yes."""
        await self._staging.delete_prefix(f"{self._prefix}/parts")


def rows_of(path: Path, model: type[M]) -> Iterator[M]:
    """Yield the rows of a plain NDJSON file."""
    with path.open("rb") as file:
        for line in file:
            yield model.model_validate_json(line)


def _append(part: Path, whole: Path) -> None:
    with part.open("rb") as source, whole.open("ab") as target:
        shutil.copyfileobj(source, target)
    part.unlink()


def _write(path: Path, rows: Iterable[BaseModel]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(row.model_dump_json(exclude_defaults=True) + "\n")
