"""A table of bookings as people keep them, loaded through a mapping: what is bad is said rule by rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION

EXAMPLES = Path(__file__).parents[2] / "examples"
WAREHOUSE: dict[str, Any] = json.loads((EXAMPLES / "integration-snowflake.json").read_text())
TABLE = """\
Booked by;Day;Package price;Guests;Hall
Zoë & Jürgen;06/12/2027;1200.50;80;Orangery
"O'Brien; Ada";13.06.2027;900;45;"Barn
(old)"
Linh;6/9/2027;300;;Orangery
Linh;6/9/2027;300;;Orangery
;14.06.2027;750;20;Orangery
Noor;some time in June;880;60;Barn
Ivo;15.06.2027;-40;30;Barn
Mia;16.06.2027;1,100;about 70;Barn
"""
DAY = "case when contains(Day, '/') then strptime(Day, '%m/%d/%Y') else strptime(Day, '%d.%m.%Y') end"
BAD = {
    "guest_count_invalid": 1,
    "total_revenue_invalid": 1,
    "total_revenue_negative": 1,
    "wedding_date_invalid": 1,
    "wedding_id_duplicate": 1,
    "wedding_id_missing": 1,
}


def asked(file: Path, etl_id: str, threshold: float) -> dict[str, Any]:
    return {
        "etlId": etl_id,
        "organizationId": ORGANIZATION,
        "targetIntegration": {"integrationId": WAREHOUSE["integrationId"]},
        "source": {"kind": "file", "uri": file.as_uri(), "format": "csv"},
        "dataMapping": [
            {"target": "weddingId", "expression": "\"Booked by\" || '/' || Day"},
            {"target": "weddingDate", "expression": f"cast({DAY} as date)"},
            {"target": "totalRevenue", "expression": 'cast("Package price" as decimal(18, 2))'},
            {"target": "guestCount", "source": "Guests"},
            {"target": "venueId", "source": "Hall"},
        ],
        "dataQuality": {"failureThreshold": threshold},
    }


def test_a_messy_table_is_loaded_with_what_is_bad_named_rule_by_rule(
    stack: RunningStack, tmp_path: Path, fresh: str
) -> None:
    stack.connect(WAREHOUSE)
    file = tmp_path / f"{fresh}.csv"
    file.write_text(TABLE.replace("Linh", f"Linh {fresh}"))
    refused = stack.cli("etl", "run", stack.file(asked(file, f"{fresh}-a", 0.05)))
    assert refused.returncode == 1
    assert all(f"{rule} 1" in refused.stderr for rule in list(BAD)[:5])
    done = stack.json("etl", "run", stack.file(asked(file, f"{fresh}-b", 0.7)))
    assert done["dataQuality"]["reasons"] == BAD
    assert (done["books"]["read"], done["books"]["rejected"]) == (8, 5)
    again = stack.cli("etl", "run", stack.file(asked(file, f"{fresh}-c", 0.7)))
    assert all(rule in again.stdout for rule in BAD)
    books = stack.json("etl", "run", stack.file(asked(file, f"{fresh}-c", 0.7)))["books"]
    assert (books["created"], books["updated"], books["unchanged"]) == (0, 0, 3)


def test_a_mapping_that_reads_one_form_of_date_rejects_the_other(
    stack: RunningStack, tmp_path: Path, fresh: str
) -> None:
    stack.connect(WAREHOUSE)
    file = tmp_path / f"{fresh}.csv"
    file.write_text(f"id,day\n{fresh}-1,06/12/2027\n{fresh}-2,13.06.2027\n")
    given = asked(file, fresh, 0.05)
    given["dataMapping"] = [
        {"target": "weddingId", "source": "id"},
        {"target": "weddingDate", "expression": "cast(strptime(day, '%d.%m.%Y') as date)"},
    ]
    done = stack.cli("etl", "run", stack.file(given), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["evidence"]["reasons"] == {"wedding_date_invalid": 1}
