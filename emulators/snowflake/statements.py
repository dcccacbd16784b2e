"""Reads what a SQL statement does, from its leading words, without executing or storing its values."""

import re
from dataclasses import dataclass

_NAME = r'(?:"[^"]+"|[A-Za-z_][\w$]*)(?:\.(?:"[^"]+"|[A-Za-z_][\w$]*)){0,2}'
_LEADING_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_LITERALS = re.compile(r"\$\$.*?\$\$|'(?:[^'\\]|\\.|'')*'|(?<![\w$])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.DOTALL)
_CREATE = re.compile(
    r"CREATE\s+(?P<replace>OR\s+REPLACE\s+)?(?:(?:TEMPORARY|TEMP|TRANSIENT|LOCAL|GLOBAL|VOLATILE|SECURE)\s+)*"
    r"(?P<type>FILE\s+FORMAT|[A-Z]+)\s+(?P<guard>IF\s+NOT\s+EXISTS\s+)?(?P<name>" + _NAME + ")",
    re.IGNORECASE,
)
_DROP = re.compile(rf"(?:DROP|ALTER|TRUNCATE)\s+(?P<type>[A-Z]+)\s+(?:IF\s+EXISTS\s+)?(?P<name>{_NAME})", re.IGNORECASE)
_DML = re.compile(
    rf"(?:INSERT\s+(?:OVERWRITE\s+)?INTO|MERGE\s+INTO|UPDATE|DELETE\s+FROM|COPY\s+INTO)\s+(?P<name>{_NAME})",
    re.IGNORECASE,
)
_TEMPORARY = re.compile(r"\ACREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:LOCAL|GLOBAL)\s+)?TEMP(?:ORARY)?\s", re.IGNORECASE)
_ACCEPTED_WITHOUT_EFFECT = re.compile(
    r"\A(?:GRANT|REVOKE|USE\s+(?:ROLE|WAREHOUSE|SECONDARY)|"
    r"(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(?:WAREHOUSE|STREAM|TASK|RESOURCE\s+MONITOR)|"
    r"ALTER\s+SESSION\s+(?:UN)?SET\s+(?!AUTOCOMMIT)|ALTER\s+TABLE\s+.*\b(?:CLUSTER\s+BY|RECLUSTER|SEARCH\s+OPTIMIZATION))",
    re.IGNORECASE | re.DOTALL,
)
_TRANSACTION_WORDS = {"BEGIN": "begin", "START": "begin", "COMMIT": "commit", "ROLLBACK": "rollback"}
_DML_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})


@dataclass(frozen=True)
class Statement:
    """One statement as far as the ledger and the transaction rules need to know it.

    `kind` is the lower-case first word (`begin` for START TRANSACTION), `object_name` is upper case unless quoted.
    """

    text: str
    kind: str
    object_type: str
    object_name: str
    temporary: bool = False
    replace: bool = False
    guarded: bool = False

    @property
    def is_dml(self) -> bool:
        """Whether the statement changes rows."""
        return self.kind.upper() in _DML_WORDS

    @property
    def is_ddl(self) -> bool:
        """Whether the statement commits an open transaction before it runs."""
        return self.kind in {"create", "drop", "alter"} and self.object_type != "session"

    @property
    def is_accepted_without_effect(self) -> bool:
        """Whether the stand-in answers success and does nothing."""
        return _ACCEPTED_WITHOUT_EFFECT.match(self.text) is not None

    @property
    def redacted(self) -> str:
        """The first 200 characters with every literal replaced by a question mark."""
        return " ".join(_LITERALS.sub("?", self.text[:4000]).split())[:200]


def normalise(name: str) -> str:
    """Fold each unquoted part of a dotted name to upper case and remove the quotes of the others."""
    parts = re.findall(r'"[^"]+"|[^.]+', name)
    return ".".join(part[1:-1] if part.startswith('"') else part.upper() for part in parts)


def read(sql: str) -> Statement:
    """Read the leading words of `sql`."""
    text = _LEADING_COMMENTS.sub("", sql).rstrip().rstrip(";").rstrip()
    word = (re.match(r"[A-Za-z]+", text) or [""])[0].upper()
    if word in _TRANSACTION_WORDS:
        return Statement(text, _TRANSACTION_WORDS[word], "transaction", "")
    if word == "CREATE" and (match := _CREATE.match(text)):
        return Statement(
            text,
            "create",
            " ".join(match["type"].lower().split()),
            normalise(match["name"]),
            temporary=_TEMPORARY.match(text) is not None,
            replace=match["replace"] is not None,
            guarded=match["guard"] is not None,
        )
    if word in {"DROP", "ALTER", "TRUNCATE"} and (match := _DROP.match(text)):
        return Statement(text, word.lower(), match["type"].lower(), normalise(match["name"]))
    if word in _DML_WORDS:
        match = _DML.match(text)
        return Statement(text, word.lower(), "table", normalise(match["name"]) if match else "")
    return Statement(text, word.lower(), "statement", "")
