"""The Files API of an emulated Databricks workspace: files and directories of Unity Catalog volumes.

Paths, verbs, headers and the meaning of `overwrite` are those of the API's description in the vendor's SDK. A PUT that
leaves a file as it is, is no effect. Unconfirmed: the words of refusals, and that a PUT makes missing directories.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from emulators.core import Emulator
from emulators.databricks_lakehouse import Lakehouse
from emulators.databricks_requests import RequestRefusedError
from emulators.databricks_sql import RefusedError

if TYPE_CHECKING:
    from starlette.requests import Request

_MOST_BYTES = 5 * 1024**3
_PAGE = 1000


class Files:
    """The volumes of one workspace over HTTP."""

    def __init__(self, emulator: Emulator, lakehouse: Lakehouse) -> None:
        """Serve what the lakehouse holds."""
        self._emulator, self._lakehouse = emulator, lakehouse

    async def file(self, request: Request) -> Response:
        """PUT, GET, HEAD and DELETE /api/2.0/fs/files/{path}."""
        place, path = self._place(request)
        if request.method == "PUT":
            return await self._put(request, place, path)
        if not place.is_file():
            raise RequestRefusedError(404, "The file does not exist.")
        if request.method == "DELETE":
            place.unlink()
            self._emulator.effect("file.deleted", "files", path, {})
            return Response(status_code=204)
        changed = datetime.fromtimestamp(place.stat().st_mtime, UTC)
        headers = {"Last-Modified": format_datetime(changed, usegmt=True)}
        content = b"" if request.method == "HEAD" else await asyncio.to_thread(place.read_bytes)
        headers["Content-Length"] = str(place.stat().st_size)
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def directory(self, request: Request) -> Response:
        """PUT, GET, HEAD and DELETE /api/2.0/fs/directories/{path}."""
        place, path = self._place(request)
        if request.method == "PUT":
            place.mkdir(parents=True, exist_ok=True)
            return Response(status_code=204)
        if not place.is_dir():
            raise RequestRefusedError(404, "The directory does not exist.")
        if request.method == "HEAD":
            return Response(status_code=200)
        if request.method == "GET":
            return JSONResponse(_listing(request, place, path))
        if any(place.iterdir()):
            raise RequestRefusedError(400, "The directory is not empty.", "DIRECTORY_NOT_EMPTY")
        place.rmdir()
        return Response(status_code=204)

    async def _put(self, request: Request, place: Path, path: str) -> Response:
        content = await request.body()
        if len(content) > _MOST_BYTES:
            raise RequestRefusedError(413, "A file has at most 5 GiB.", "REQUEST_TOO_LARGE")
        held = await asyncio.to_thread(_held, place)
        if held is not None and request.query_params.get("overwrite", "true").lower() == "false":
            raise RequestRefusedError(409, "The file exists.")
        if held != content:
            await asyncio.to_thread(_write, place, content)
            self._emulator.effect("file.written", "files", path, {"bytes": len(content)})
        return Response(status_code=204)

    def _place(self, request: Request) -> tuple[Path, str]:
        path = f"/{request.path_params['path'].strip('/')}"
        try:
            return self._lakehouse.place(path), path
        except RefusedError as error:
            raise RequestRefusedError(404, str(error)) from None


def _held(place: Path) -> bytes | None:
    return place.read_bytes() if place.is_file() else None


def _write(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def _listing(request: Request, place: Path, path: str) -> dict[str, Any]:
    start = int(request.query_params.get("page_token") or 0)
    size = min(int(request.query_params.get("page_size") or _PAGE), _PAGE)
    names = sorted(place.iterdir())
    contents = [_entry(one, f"{path}/{one.name}") for one in names[start : start + size]]
    more = {"next_page_token": str(start + size)} if start + size < len(names) else {}
    return {"contents": contents, **more}


def _entry(place: Path, path: str) -> dict[str, Any]:
    entry = {"path": path, "name": place.name, "is_directory": place.is_dir()}
    if place.is_dir():
        return entry
    seen = place.stat()
    return {**entry, "file_size": seen.st_size, "last_modified": int(seen.st_mtime * 1000)}
