"""The part of Azure Blob Storage that staging needs: block blobs put, read and deleted with a shared access signature.

Source: Azure Storage REST API reference, Put Blob, Get Blob, Get Blob Properties, Delete Blob.
"""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from emulators.synapse.engine import ACCOUNT, SAS

if TYPE_CHECKING:
    from starlette.requests import Request


def blob_routes(directory: Path) -> list[BaseRoute]:
    """Routes of the account's endpoint, `/{account}/{container}/{blob}`."""

    async def put(request: Request) -> Response:
        path = _path(request)
        if request.headers.get("if-none-match") == "*" and path.exists():
            return _error(409, "BlobAlreadyExists")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(await request.body())
        return Response(status_code=201, headers=_headers(path))

    async def get(request: Request) -> Response:
        path = _path(request)
        if not path.is_file():
            return _error(404, "BlobNotFound")
        return Response(path.read_bytes(), headers=_headers(path), media_type="application/octet-stream")

    async def delete(request: Request) -> Response:
        path = _path(request)
        if not path.is_file():
            return _error(404, "BlobNotFound")
        path.unlink()
        return Response(status_code=202)

    async def blob(request: Request) -> Response:
        expected = dict(pair.split("=", 1) for pair in SAS.split("&"))
        if any(request.query_params.get(name) != value for name, value in expected.items()):
            return _error(403, "AuthenticationFailed")
        if ".." in request.path_params["blob"]:
            return _error(400, "InvalidUri")
        return await {"PUT": put, "GET": get, "HEAD": get, "DELETE": delete}[request.method](request)

    def _path(request: Request) -> Path:
        return directory / str(request.path_params["container"]) / str(request.path_params["blob"])

    methods = ["PUT", "GET", "HEAD", "DELETE"]
    return [Route(f"/{ACCOUNT}/{{container}}/{{blob:path}}", blob, methods=methods)]


def _headers(path: Path) -> dict[str, str]:
    stat = path.stat()
    return {
        "ETag": f'"0x{stat.st_mtime_ns:X}"',
        "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        "x-ms-blob-type": "BlockBlob",
    }


def _error(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Response(body, status_code=status, headers={"x-ms-error-code": code}, media_type="application/xml")
