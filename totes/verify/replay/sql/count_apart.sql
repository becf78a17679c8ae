-- Counts the rows that differ between the live warehouse and a replay, and for each column the rows in which it differs.
SELECT
    (SELECT count(*) FROM {replayed}) AS replayed_rows,
    (SELECT count(*) FROM {live}) AS live_rows,
    count(*) FILTER (WHERE live.ctid IS NULL) AS missing,
    count(*) FILTER (WHERE {both}) AS differing,
    {columns_apart}
FROM {replayed} AS replayed
FULL JOIN {live} AS live ON {same_key}
WHERE live.ctid IS NULL OR replayed.ctid IS NULL OR {apart}
