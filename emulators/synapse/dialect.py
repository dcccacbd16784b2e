"""T-SQL of a dedicated SQL pool: read, judged, and translated for DuckDB.

Source: Microsoft Learn, "Transact-SQL features supported in dedicated SQL pool", CREATE TABLE, CREATE TABLE AS SELECT,
MERGE, RENAME, "Use transactions in a SQL pool" (no DDL inside one); error numbers from "Database engine errors" where
it lists them. That a multi-row VALUES is refused, and the numbers 103010 and 104467, are no document's words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from emulators.synapse.refusals import Refusal, near

_LITERAL = re.compile(r"N?'(?:[^']|'')*'|\[[^\]]*\]|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_HELD = r"[\w.\x01]+"
_REFUSED = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), refusal)
    for pattern, refusal in (
        (r"^create\s+or\s+(replace|alter)\s+table\b", near("table")),
        (r"^create\s+table\s+if\b", near("if")),
        (r"\blimit\s+\d+", near("limit")),
        (r"\bqualify\b", near("qualify")),
        (r"\bnulls\s+(first|last)\b", near("nulls")),
        (r"\bis\s+(not\s+)?distinct\s+from\b", near("distinct")),
        (r"\breturning\b", near("returning")),
        (r"\bon\s+conflict\b", near("conflict")),
        (r"::", near(":")),
        (r"\|\|", near("|")),
        (r"=\s*(true|false)\b", Refusal(207, "Invalid column name 'true'.")),
        (r"\bboolean\b", Refusal(2715, "Column, parameter, or variable: Cannot find data type boolean.")),
        (
            r"\bgroup\s+by\s+(\d+|[^()]*,\s*\d+\s*(,|$))",
            Refusal(164, "Each GROUP BY expression must contain at least one column that is not an outer reference."),
        ),
        (
            r"\bpercentile_(cont|disc)\b(?!\s*\([^)]*\)\s*within\s+group\s*\([^)]*\)\s*over\b)",
            Refusal(10753, "The function 'PERCENTILE_CONT' must have an OVER clause."),
        ),
        (
            r"\bdefault\s*\(*\s*(getdate|sysdatetime|sysutcdatetime|newid)\b",
            Refusal(103010, "Parse error: DEFAULT takes constants."),
        ),
        (
            r"\b(primary\s+key|unique)\b(?!\s+nonclustered\s*(\([^)]*\)\s*)?not\s+enforced)",
            Refusal(104467, "Enforced unique constraints are not supported. Include NONCLUSTERED and NOT ENFORCED."),
        ),
        (r"\b(foreign\s+key|references)\b", Refusal(103010, "Parse error: FOREIGN KEY is not supported.")),
    )
)
_UNTERMINATED_MERGE = Refusal(10713, "A MERGE statement must be terminated by a semi-colon (;).")
_GUARD = re.compile(
    r"^if\s+(?P<kind>object|schema)_id\s*\(\s*(?P<name>\x01\d+\x01)\s*(,\s*\x01\d+\x01\s*)?\)\s+is\s+(?P<absent>not\s+)?null\s+"
    r"(?P<then>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_EXEC = re.compile(r"^exec(?:ute)?\s*\(\s*(?P<sql>\x01\d+\x01)\s*\)$", re.IGNORECASE)
_CREATE = re.compile(
    rf"^create\s+table\s+(?P<name>{_HELD})\s*(?P<columns>\(.*?\))?\s*(?:with\s*\((?P<options>.*?)\))?\s*(?:as\s+(?P<query>select\b.*|with\b.*))?$",
    re.IGNORECASE | re.DOTALL,
)
_ADD = re.compile(rf"^alter\s+table\s+{_HELD}\s+add\s+(?!column\b)(?P<column>.+)$", re.IGNORECASE | re.DOTALL)
_RENAME = re.compile(rf"^rename\s+object\s+(?:::)?(?P<name>{_HELD})\s+to\s+(?P<new>{_HELD})$", re.IGNORECASE)
_SET_ONLY = re.compile(r"^(\s*set\s+(?!@)[\w\s]+?(?:\s+on|\s+off|\s+[-\w]+)?\s*;?)+$", re.IGNORECASE)
_ACCEPTED = re.compile(
    r"^(set\s+(?!@)|alter\s+index\b|update\s+statistics\b|create\s+statistics\b|dbcc\b|grant\b|use\s)", re.IGNORECASE
)
_TRANSACTION = re.compile(r"^(?P<verb>begin|commit|rollback)(\s+tran(saction)?|\s+work)?$", re.IGNORECASE)
_OBJECT = re.compile(
    rf"^(?:insert\s+into|insert|update|delete\s+from|delete|merge\s+into|merge|truncate\s+table|copy\s+into|"
    rf"(?:create|drop|alter)\s+(?P<kind>table|schema|view)(?:\s+if\s+exists)?)\s+(?P<name>{_HELD})",
    re.IGNORECASE,
)
_TYPES: tuple[tuple[str, str], ...] = (
    (r"\bidentity\s*\(\s*\d+\s*,\s*\d+\s*\)", "DEFAULT nextval('{sequence}')"),
    (
        r"(?P<n>[\w\x01]+)\s+n?(?:var)?char\s*\(\s*(?P<l>\d+)\s*\)(?P<c>\s+collate\s+\w+)?",
        # An NVARCHAR counts units of UTF-16, of which a character outside of the basic plane has two.
        r"\g<n> VARCHAR\g<c> CHECK (length(regexp_replace(\g<n>, '[\\x{10000}-\\x{10FFFF}]', 'xx', 'g')) <= \g<l>)",
    ),
    (r"\bn?varchar\s*\(\s*max\s*\)", "VARCHAR"),
    (r"\bcollate\s+\w*_bin2?\w*", 'COLLATE "binary"'),
    (r"\bcollate\s+(?!\")\w+", ""),
    (r"\bdatetime2\s*(\(\d\))?", "TIMESTAMP"),
    (r"\bbit\b", "BOOLEAN"),
    (r"\btinyint\b", "UTINYINT"),
    (r"\bint\b", "INTEGER"),
    (r"\bfloat\s*(\(\d+\))?", "DOUBLE"),
    (r"\bprimary\s+key\s+nonclustered\s*(\([^)]*\))?\s*not\s+enforced", ""),
    (r",\s*(constraint\s+\w+\s*)?\)$", ")"),
)
_DDL = frozenset({"create", "drop", "alter", "rename", "truncate"})


@dataclass(frozen=True)
class Statement:
    """One statement: as the client wrote it, and as DuckDB gets it; `duckdb` is empty for what has no effect here."""

    text: str
    duckdb: tuple[str, ...]
    verb: str
    kind: str = ""
    name: str = ""
    guard: str = ""
    """A query that yields a row where the statement has to be left out."""

    @property
    def is_ddl(self) -> bool:
        """Whether it may not stand in a transaction."""
        return self.verb in _DDL - {"truncate"}

    @property
    def redacted(self) -> str:
        """The first 200 characters with every literal replaced by a question mark."""
        return " ".join(re.sub(r"N?'(?:[^']|'')*'|\b\d+\b", "?", self.text[:4_000]).split())[:200]


def translate(sql: str) -> Statement:
    """Read a statement as a dedicated SQL pool would.

    Raises:
        Refusal: the pool refuses it.
    """
    text = sql.strip()
    bare, kept = _without_literals(text)
    if re.match(r"merge\b", bare, re.IGNORECASE) and not bare.endswith(";"):
        raise _UNTERMINATED_MERGE
    bare = bare.rstrip("; \n\t")
    if _SET_ONLY.match(bare) or _ACCEPTED.match(bare):
        return Statement(text, (), "set")
    if ";" in bare:
        raise Refusal(102, "the stand-in takes one statement at a time")
    if guarded := _GUARD.match(bare):
        return _guarded(text, guarded, kept)
    if ended := _TRANSACTION.match(bare):
        return Statement(text, (), ended["verb"].lower())
    for pattern, refusal in _REFUSED:
        if pattern.search(bare):
            raise Refusal(refusal.number, refusal.message)
    if _has_several_rows(bare):
        raise Refusal(103010, "Parse error: a VALUES with several rows is not supported.")
    return _translated(text, bare, kept)


def _has_several_rows(bare: str) -> bool:
    found = re.search(r"\bvalues\s*(?=\()", bare, re.IGNORECASE)
    depth = 0
    for at in range(found.end() if found else len(bare), len(bare)):
        depth += {"(": 1, ")": -1}.get(bare[at], 0)
        if not depth:
            return bare[at + 1 :].lstrip().startswith(",")
    return False


def _guarded(text: str, found: re.Match[str], kept: list[str]) -> Statement:
    then = found["then"].strip()
    inner = translate(
        _plain(_restored(executed["sql"], kept)) if (executed := _EXEC.match(then)) else _restored(then, kept)
    )
    name = _plain(_restored(found["name"], kept)).replace("[", "").replace("]", "")
    schema, _, table = name.rpartition(".")
    present = (
        f"SELECT 1 FROM duckdb_schemas() WHERE lower(schema_name) = lower('{name}') AND NOT internal"
        if found["kind"].lower() == "schema"
        else f"SELECT 1 FROM duckdb_tables() WHERE lower(schema_name) = lower('{schema or 'dbo'}') "
        f"AND lower(table_name) = lower('{table}')"
    )
    guard = f"SELECT 1 WHERE NOT EXISTS ({present})" if found["absent"] else present
    return Statement(text, inner.duckdb, inner.verb, inner.kind, inner.name, guard)


def _translated(text: str, bare: str, kept: list[str]) -> Statement:
    verb = bare.split(None, 1)[0].lower() if bare else ""
    named = _OBJECT.match(bare)
    kind = (named["kind"] or "table").lower() if named else ""
    name = _name(_restored(named["name"], kept)) if named else ""
    if verb == "copy":
        return Statement(text, (), verb, kind, name)
    if found := _RENAME.match(bare):
        old, new = _name(_restored(found["name"], kept)), _restored(found["new"], kept).strip("[]").lower()
        return Statement(text, (f"ALTER TABLE {old} RENAME TO {new}",), "rename", "table", f"{old} to {new}")
    if found := _ADD.match(bare):
        # DuckDB adds no column with a condition: a text that is too long is accepted in a column added later.
        column = re.sub(r"\s*CHECK \(.*\)$", "", _restored(_typed(found["column"], name), kept))
        return Statement(text, (f"ALTER TABLE {name} ADD COLUMN {column}",), verb, kind, name)
    if found := _CREATE.match(bare):
        return Statement(text, _create(found, kept, name), verb, kind, name)
    return Statement(text, (_query(_restored(bare, kept)),), verb, kind, name)


def _create(found: re.Match[str], kept: list[str], name: str) -> tuple[str, ...]:
    options = found["options"] or ""
    if found["query"]:
        if "distribution" not in options.lower():
            raise Refusal(103010, "Parse error: CREATE TABLE AS SELECT needs WITH (DISTRIBUTION = ...).")
        return (f"CREATE TABLE {name} AS {_query(_restored(found['query'], kept))}",)
    columns = _typed(found["columns"] or "", name)
    table = f"CREATE TABLE {name} {_restored(columns, kept)}".replace("[", '"').replace("]", '"')
    hashed = re.search(r"distribution\s*=\s*hash\s*\(\s*(\w+)", options, re.IGNORECASE)
    made = (table, f"COMMENT ON TABLE {name} IS '{hashed[1].lower()}'") if hashed else (table,)
    return (f"CREATE SEQUENCE {name}_identity", *made) if "nextval" in columns else made


def _typed(columns: str, table: str) -> str:
    for pattern, successor in _TYPES:
        columns = re.sub(pattern, successor.replace("{sequence}", f"{table}_identity"), columns, flags=re.IGNORECASE)
    return columns


def _query(sql: str) -> str:
    try:
        tree = sqlglot.parse_one(sql, read="tsql")
    except SqlglotError as error:
        raise near(str(error).partition("\n")[0][:60]) from error
    if isinstance(tree, exp.Command):
        raise near(sql.split(None, 1)[0])
    for cast in tree.find_all(exp.DataType):
        if cast.this == exp.DataType.Type.BIT:
            cast.set("this", exp.DataType.Type.BOOLEAN)
    for call in tree.find_all(exp.Anonymous):
        if call.name.upper() in {"SYSUTCDATETIME", "SYSDATETIME"}:
            call.replace(exp.cast(exp.CurrentTimestamp(), "TIMESTAMP"))
    for literal in tree.find_all(exp.National):
        literal.replace(exp.Literal.string(literal.name))
    return tree.sql(dialect="duckdb")


def _name(written: str) -> str:
    return written.replace("[", "").replace("]", "").replace('"', "").lower()


def _plain(literal: str) -> str:
    return literal.lstrip("Nn")[1:-1].replace("''", "'")


def _without_literals(text: str) -> tuple[str, list[str]]:
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        if found[0].startswith(("--", "/*")):
            return " "
        kept.append(found[0])
        return f"\x01{len(kept) - 1}\x01"

    return _LITERAL.sub(keep, text).strip(), kept


def _restored(text: str, kept: list[str]) -> str:
    return re.sub(r"\x01(\d+)\x01", lambda found: kept[int(found[1])], text)
