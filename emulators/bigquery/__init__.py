"""The stand-in of Google BigQuery: bqemulator with the emulators' faults, ledger and control API."""
