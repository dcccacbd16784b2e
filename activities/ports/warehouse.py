"""The Protocol of the data warehouses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from activities.ports.connector import Connector
from contracts.etl import EtlBatch, Layer, LayerLoaded, MartsLoaded, Optimized, TablesBuilt


@dataclass(frozen=True)
class LayerFiles:
    """Local Parquet files that together are one layer of a load.

    `digest` identifies their rows; `file.name` is the name under which the warehouse stages each.
    """

    layer: Layer
    files: Sequence[Path]
    rows: int
    digest: str


@runtime_checkable
class WarehouseConnector(Connector, Protocol):
    """A data warehouse with the layers RAW, STAGING, MARTS and ANALYTICS (capability `warehouse`).

    Every method is idempotent: what a load has finished is found again by its id and digest, not repeated; and each is
    one transaction, so that a killed worker leaves all of a step or none.
    """

    async def load_layer(self, batch: EtlBatch, files: LayerFiles) -> LayerLoaded:
        """Load the files into the layer's table and return how many rows of the batch it holds.

        Raises:
            Transient: another load holds the tables, or the warehouse does not answer.
            OutcomeUnknown: the answer to a write was lost.
            AuthExpired: the warehouse refuses the credential.
            Permanent: an object or a privilege is missing, or the counts do not agree.
        """
        ...

    async def load_marts(self, batch: EtlBatch) -> MartsLoaded:
        """Bring the batch's STAGING rows into the dimensions and the facts, in one transaction."""
        ...

    async def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        """Rebuild the ANALYTICS tables, each replaced in one statement, when the marts have changed since."""
        ...

    async def optimize(self, batch: EtlBatch) -> Optimized:
        """Arrange the marts for the usual queries, and say what that changed."""
        ...
