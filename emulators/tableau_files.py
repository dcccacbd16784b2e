"""The files behind Tableau's data sources and uploads, kept on disk beside the emulators' database."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from emulators.core import State
from emulators.tableau_xml import BadRequestError

_SESSION = re.compile(r"[0-9a-f:-]+")


class Files:
    """Published extracts (one file per data source and revision) and unfinished uploads."""

    def __init__(self, state: State) -> None:
        """Use the directory of the state's database file, or a temporary one when the state is in memory."""
        database = state.connection.execute("PRAGMA database_list").fetchone()[2]
        self._temporary = None if database else tempfile.TemporaryDirectory(prefix="tableau-")
        root = Path(self._temporary.name) if self._temporary else Path(database).parent
        self._root = root / "tableau"
        self._root.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Delete everything."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(parents=True, exist_ok=True)

    def extract(self, datasource_id: str, revision: int) -> Path:
        """Where a revision's data file is."""
        return self._root / f"{datasource_id}-{revision}.hyper"

    def upload(self, session_id: str) -> Path:
        """Where an upload session's content grows.

        Raises:
            BadRequestError: The session's id is not one of ours.
        """
        if not _SESSION.fullmatch(session_id):
            raise BadRequestError(404, "404003", "Resource Not Found", "The upload session could not be found.")
        return self._root / f"{session_id.replace(':', '_')}.upload"


def data_of(content: bytes, file_type: str) -> bytes:
    """The Hyper database in a published file: the file itself, or the extract inside a packaged data source.

    Raises:
        BadRequestError: Another file type, or a package without an extract.
    """
    problem = BadRequestError(400, "400011", "Bad Request", "There was a problem publishing the file.")
    if file_type == "hyper":
        return content
    if file_type != "tdsx":
        raise problem
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            return package.read(next(name for name in package.namelist() if name.endswith(".hyper")))
    except (zipfile.BadZipFile, StopIteration) as error:
        raise problem from error


def package(name: str, data: Path | None) -> bytes:
    """A packaged data source as downloads deliver it, with the extract unless `data` is None."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("datasource.tds", '<?xml version="1.0" encoding="utf-8"?><datasource version="18.1"/>')
        if data is not None:
            archive.write(data, f"Data/Extracts/{re.sub(r'[^A-Za-z0-9 _-]', '_', name)}.hyper")
    return target.getvalue()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
