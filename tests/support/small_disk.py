"""A disk that can be filled."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("Only root can mount a small disk.")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=12m", "tmpfs", place], check=False).returncode:
        pytest.skip("This machine does not let root mount a small disk.")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def filled(disk: Path) -> Path:
    """Leave no room on a disk, and return the file whose removal makes some again."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 10, 1):
            while True:
                try:
                    filler.write(bytes(size))
                except OSError:
                    break
    return path
