"""Reads a Databricks statement, refuses what Databricks refuses, and says how DuckDB carries the rest out.

Conditions and their SQL states are those of Databricks' error pages. From its SQL reference: UPDATE has no FROM, there
is no AUTOINCREMENT, VARCHAR has a length, an identity column is a BIGINT, a column default needs its table feature,
only the last WHEN MATCHED may do without a condition, and schemas and tables are kept in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_NAME = r"(?:`[^`]+`|\w+)(?:\.(?:`[^`]+`|\w+)){0,2}"
_LITERALS = re.compile(r"'(?:[^'\\]|\\.)*'|(?<!\w)\d+(?:\.\d+)?")
_VOLUME = re.compile(
    rf"\A(?P<verb>CREATE|DROP)\s+VOLUME\s+(?P<guard>IF\s+(?:NOT\s+)?EXISTS\s+)?(?P<name>{_NAME})\s*\Z", re.IGNORECASE
)
_NO_EFFECT = re.compile(
    r"\A(?:OPTIMIZE|VACUUM|ANALYZE|GRANT|REVOKE|COMMENT\s+ON|"
    r"ALTER\s+TABLE\s+\S+\s+(?:SET|UNSET|CLUSTER\s+BY|ADD\s+CONSTRAINT))\b",
    re.IGNORECASE,
)
_TRANSACTION = re.compile(r"\A(?:BEGIN|START\s+TRANSACTION|COMMIT|ROLLBACK)\b", re.IGNORECASE)
_COPY = re.compile(
    rf"\ACOPY\s+INTO\s+(?P<name>{_NAME})\s+FROM\s+'(?P<path>[^']+)'\s+FILEFORMAT\s*=\s*PARQUET"
    r"(?:\s+FILES\s*=\s*\((?P<files>[^)]*)\))?(?P<options>(?:\s+\w+_OPTIONS\s*\([^)]*\))*)\s*\Z",
    re.IGNORECASE,
)
_FORCED = re.compile(r"'force'\s*=\s*'true'", re.IGNORECASE)
_SAFE = ("information_schema", "system")
_DEFAULTS = "delta.feature.allowcolumndefaults"


class RefusedError(Exception):
    """A statement that fails, with its error condition and SQL state."""

    def __init__(self, condition: str, state: str, sentence: str) -> None:
        super().__init__(f"[{condition}] {sentence} SQLSTATE: {state}")
        self.state = state


@dataclass(frozen=True)
class Statement:
    """What a statement does.

    `kind` is `query`, `insert`, `update`, `delete`, `merge`, `copy`, `create`, `alter`, `drop` or `nothing`;
    `object_type` is `table`, `schema` or `volume`.
    """

    kind: str
    text: str
    object_type: str = "table"
    target: tuple[str, ...] = ()
    tree: exp.Expr | None = None
    reads: tuple[tuple[str, ...], ...] = ()
    replaces: exp.Expr | None = None
    """The condition on the rows that an INSERT removes first."""
    guarded: bool = False
    path: str = ""
    files: tuple[str, ...] = ()
    forced: bool = False
    sequences: list[str] = field(default_factory=list)

    @property
    def redacted(self) -> str:
        """The first 200 characters without literals."""
        return " ".join(_LITERALS.sub("?", self.text).split())[:200]


@lru_cache(maxsize=1024)
def read(sql: str) -> Statement:
    """What `sql` does.

    Raises:
        RefusedError: Databricks does not take it, or this stand-in does not know it.
    """
    text = sql.strip().rstrip(";").strip()
    if _TRANSACTION.match(text):
        raise RefusedError("UNSUPPORTED_FEATURE.TRANSACTION", "0A000", "A request is one statement.")
    if match := _VOLUME.match(text):
        return Statement(
            match["verb"].lower(), text, "volume", _parts(match["name"]), guarded=match["guard"] is not None
        )
    if match := _COPY.match(text):
        return Statement(
            "copy",
            text,
            target=_parts(match["name"]),
            path=match["path"],
            files=tuple(re.findall(r"'([^']+)'", match["files"] or "")),
            forced=_FORCED.search(match["options"]) is not None,
        )
    if _NO_EFFECT.match(text):
        return Statement("nothing", text)
    return _parsed(text)


def _parsed(text: str) -> Statement:
    try:
        trees = [tree for tree in sqlglot.parse(text, read="databricks") if tree is not None]
    except SqlglotError:
        trees = []
    if len(trees) != 1 or isinstance(trees[0], exp.Command | exp.Alias):
        raise _syntax("The statement cannot be read.")
    tree = trees[0]
    for lint in (_lint_names, _lint_update, _lint_create, _lint_merge):
        lint(tree)
    for reader in (_insert, _create, _alter, _drop):
        if found := reader(text, tree):
            return found
    for kind in (exp.Update, exp.Delete, exp.Merge):
        if isinstance(tree, kind):
            target = tree.this
            return Statement(
                kind.__name__.lower(), text, target=parts(target), tree=tree, reads=tuple(_reads(tree, target))
            )
    if isinstance(tree, exp.Query):
        return Statement("query", text, tree=tree, reads=tuple(_reads(tree, None)))
    raise _syntax("This kind of statement is unknown here.")


def _insert(text: str, tree: exp.Expr) -> Statement | None:
    if not isinstance(tree, exp.Insert):
        return None
    target, where = tree.find(exp.Table), tree.args.get("where")
    if where is not None and isinstance(tree.this, exp.Schema):
        raise _syntax("REPLACE WHERE takes no list of columns; use BY NAME.")
    replaces = exp.true() if tree.args.get("overwrite") else where
    tree.set("where", None)
    tree.set("overwrite", None)
    reads = tuple(_reads(tree, target))
    return Statement("insert", text, target=parts(target), tree=tree, reads=reads, replaces=replaces)


def _alter(text: str, tree: exp.Expr) -> Statement | None:
    if not isinstance(tree, exp.Alter):
        return None
    return Statement("alter", text, target=parts(tree.find(exp.Table)), tree=tree)


def _create(text: str, tree: exp.Expr) -> Statement | None:
    if not isinstance(tree, exp.Create):
        return None
    kind = str(tree.args["kind"]).lower()
    target = tree.this if isinstance(tree.this, exp.Table) else tree.this.find(exp.Table)
    if kind not in {"table", "schema"}:
        raise _syntax("This stand-in creates tables, schemas and volumes.")
    name = parts(target)
    tree.set("properties", None)
    return Statement(
        "create",
        text,
        kind,
        name if kind == "table" else name[-2:],
        tree=tree,
        reads=tuple(_reads(tree, target)),
        guarded=bool(tree.args.get("exists")),
        sequences=list(_columns(tree, name)),
    )


def _drop(text: str, tree: exp.Expr) -> Statement | None:
    if not isinstance(tree, exp.Drop) or str(tree.args["kind"]).lower() != "table":
        return None
    return Statement("drop", text, target=parts(tree.find(exp.Table)), guarded=bool(tree.args.get("exists")))


def _columns(tree: exp.Expr, name: tuple[str, ...]) -> Iterator[str]:
    """Rewrite the columns for DuckDB and yield the sequences that identity columns need."""
    schema = tree.this
    if not isinstance(schema, exp.Schema):
        return
    kept: list[exp.Expr] = []
    for part in schema.expressions:
        if not isinstance(part, exp.ColumnDef):
            continue
        kept.append(part)
        constraints = []
        for constraint in part.args.get("constraints") or []:
            rule = constraint.args.get("kind")
            if isinstance(rule, exp.GeneratedAsIdentityColumnConstraint):
                if rule.this is True or not part.kind or part.kind.this is not exp.DataType.Type.BIGINT:
                    raise RefusedError(
                        "DELTA_IDENTITY_COLUMNS_UNSUPPORTED_DATA_TYPE", "428H2", "Use BIGINT GENERATED BY DEFAULT."
                    )
                sequence = f"{name[-1]}_{part.name}_identity"
                yield sequence
                call = exp.func("nextval", exp.Literal.string(".".join((*name[:-1], sequence))))
                constraints.append(exp.ColumnConstraint(kind=exp.DefaultColumnConstraint(this=call)))
            elif isinstance(rule, exp.NotNullColumnConstraint | exp.DefaultColumnConstraint):
                constraints.append(constraint)
        part.set("constraints", constraints)
        _limit(part)
    schema.set("expressions", kept)


def _limit(column: exp.ColumnDef) -> None:
    """Have DuckDB hold a text to its length, which it ignores by itself."""
    kind = column.kind
    if kind is None or kind.this is not exp.DataType.Type.VARCHAR:
        return
    longest = kind.expressions[0].this if kind.expressions else None
    check = exp.LTE(this=exp.Length(this=exp.column(column.name)), expression=longest)
    column.set("kind", exp.DataType.build("text"))
    column.append("constraints", exp.ColumnConstraint(kind=exp.CheckColumnConstraint(this=exp.paren(check))))


def _lint_names(tree: exp.Expr) -> None:
    for table in tree.find_all(exp.Table):
        for name in ("this", "db", "catalog"):
            part = table.args.get(name)
            if isinstance(part, exp.Identifier) and "/" not in part.name:
                part.set("this", part.name.lower())


def _lint_update(tree: exp.Expr) -> None:
    if isinstance(tree, exp.Update) and (tree.args.get("from_") or tree.args.get("from")):
        raise _syntax("UPDATE has no FROM; use MERGE.")
    if isinstance(tree, exp.Insert) and (tree.args.get("conflict") or tree.args.get("returning")):
        raise _syntax("INSERT has neither ON CONFLICT nor RETURNING.")


def _lint_create(tree: exp.Expr) -> None:
    if not isinstance(tree, exp.Create):
        return
    if tree.find(exp.AutoIncrementColumnConstraint):
        raise _syntax("There is no AUTOINCREMENT; use GENERATED BY DEFAULT AS IDENTITY.")
    for kind in tree.find_all(exp.DataType):
        if kind.this is exp.DataType.Type.VARCHAR and not kind.expressions:
            raise RefusedError("DATATYPE_MISSING_SIZE", "42K01", "VARCHAR needs a length.")
    properties = tree.args.get("properties")
    named = {one.name.lower() for one in properties.expressions} if properties else set()
    if tree.find(exp.DefaultColumnConstraint) and _DEFAULTS not in named:
        raise RefusedError(
            "WRONG_COLUMN_DEFAULTS_FOR_DELTA_FEATURE_NOT_ENABLED", "0AKDE", "The table does not allow column defaults."
        )


def _lint_merge(tree: exp.Expr) -> None:
    if not isinstance(tree, exp.Merge):
        return
    clauses = tree.args["whens"].expressions
    matched = [clause for clause in clauses if clause.args.get("matched")]
    if any(clause.args.get("condition") is None for clause in matched[:-1]):
        raise RefusedError(
            "NON_LAST_MATCHED_CLAUSE_OMIT_CONDITION", "42613", "Only the last WHEN MATCHED may omit its condition."
        )
    for assignment in tree.find_all(exp.EQ):
        # `SET t.column =` is Databricks' and not DuckDB's.
        if isinstance(assignment.parent, exp.Update) and isinstance(assignment.this, exp.Column):
            assignment.set("this", exp.column(assignment.this.this))


def _reads(tree: exp.Expr, target: exp.Expr | None) -> Iterator[tuple[str, ...]]:
    """The stored tables that a statement reads."""
    aliases = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        name = parts(table)
        stored = name and not set(name) & set(_SAFE) and name[0] != "parquet" and not isinstance(table.this, exp.Func)
        if table is not target and stored and not (len(name) == 1 and name[0] in aliases):
            yield name


def parts(table: exp.Expr | None) -> tuple[str, ...]:
    """The parts of a table's name, from the catalog on."""
    if not isinstance(table, exp.Table):
        return ()
    return tuple(part.name for part in table.parts if part.name)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip("`").lower() for part in re.findall(r"`[^`]+`|[^.]+", name))


def _syntax(sentence: str) -> RefusedError:
    return RefusedError("PARSE_SYNTAX_ERROR", "42601", sentence)
