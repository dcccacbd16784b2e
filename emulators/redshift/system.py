"""What every database of the stand-in holds from the start: Redshift's functions and views that PostgreSQL lacks."""

from __future__ import annotations

DATABASES = {"dev": "sandbox", "second": "second"}
"""Database -> the user that owns it; a user's password is its name."""
USERS = frozenset(DATABASES.values())

# A unit's number of boundaries between two instants, as DATEDIFF counts them.
_DATEDIFF = """
SELECT CASE lower(unit)
  WHEN 'year' THEN (extract(year FROM b) - extract(year FROM a))::bigint
  WHEN 'quarter' THEN ((extract(year FROM b) * 4 + extract(quarter FROM b))
    - (extract(year FROM a) * 4 + extract(quarter FROM a)))::bigint
  WHEN 'month' THEN ((extract(year FROM b) * 12 + extract(month FROM b))
    - (extract(year FROM a) * 12 + extract(month FROM a)))::bigint
  WHEN 'week' THEN (date_trunc('week', b + interval '1 day')::date - date_trunc('week', a + interval '1 day')::date) / 7
  WHEN 'day' THEN b::date - a::date
  WHEN 'hour' THEN (extract(epoch FROM date_trunc('hour', b) - date_trunc('hour', a)) / 3600)::bigint
  WHEN 'minute' THEN (extract(epoch FROM date_trunc('minute', b) - date_trunc('minute', a)) / 60)::bigint
  WHEN 'second' THEN extract(epoch FROM date_trunc('second', b) - date_trunc('second', a))::bigint END"""

# `unsorted` and `stats_off` are what PostgreSQL can tell that is nearest: dead rows, and rows changed since ANALYZE.
_TABLE_INFO = """
SELECT current_database()::text AS "database", schemaname::text AS "schema", relname::text AS "table",
  relid AS table_id, n_live_tup::numeric AS tbl_rows, pg_total_relation_size(relid) / 1048576 AS size,
  (100.0 * n_dead_tup / greatest(n_live_tup + n_dead_tup, 1))::numeric(5,2) AS unsorted,
  (100.0 * least(n_mod_since_analyze, greatest(n_live_tup, 1)) / greatest(n_live_tup, 1))::numeric(5,2) AS stats_off
FROM pg_stat_user_tables"""

TEMPLATE = (
    """CREATE FUNCTION pg_catalog.standin_refuse(state text, problem text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = problem; END $$""",
    r"""CREATE FUNCTION pg_catalog.standin_counts() RETURNS TABLE (name text, total bigint) LANGUAGE plpgsql AS $$ BEGIN
    FOR name IN SELECT schemaname || '.' || relname FROM pg_stat_user_tables WHERE schemaname NOT LIKE 'pg\_temp%'
    ORDER BY 1 LOOP
    EXECUTE format('SELECT count(*) FROM %I.%I', split_part(name, '.', 1), split_part(name, '.', 2)) INTO total;
    RETURN NEXT; END LOOP; END $$""",
    """CREATE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE AS
    $$ SELECT statement_timestamp() AT TIME ZONE 'UTC' $$""",
    """CREATE FUNCTION pg_catalog.date_trunc(part text, day date) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
    $$ SELECT date_trunc(part, day::timestamp) $$""",
    f"""CREATE FUNCTION pg_catalog.datediff(unit text, a timestamp, b timestamp) RETURNS bigint LANGUAGE sql
    IMMUTABLE AS $${_DATEDIFF} $$""",
    """CREATE FUNCTION pg_catalog.dateadd(unit text, amount bigint, a timestamp) RETURNS timestamp LANGUAGE sql
    IMMUTABLE AS
    $$ SELECT a + (amount || ' ' || CASE lower(unit) WHEN 'quarter' THEN '3 month' ELSE unit END)::interval $$""",
    f"CREATE VIEW pg_catalog.svv_table_info AS {_TABLE_INFO}",
    "GRANT SELECT ON pg_catalog.svv_table_info TO PUBLIC",
    """CREATE VIEW pg_catalog.svv_tables AS SELECT table_catalog, table_schema, table_name, table_type
    FROM information_schema.tables""",
    "GRANT SELECT ON pg_catalog.svv_tables TO PUBLIC",
)
CLUSTER = tuple(
    statement
    for database, user in DATABASES.items()
    for statement in (
        f"CREATE ROLE {user} LOGIN",
        f"CREATE DATABASE {database} OWNER {user}",
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    )
)
EMPTY = """SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"""
COUNTS = "SELECT name, total FROM pg_catalog.standin_counts()"
