-- How many rows of a table are not the same in the live warehouse and in a replay, and in how many each column differs.
SELECT
    (SELECT count(*) FROM {replayed}) AS replayed_rows,
    (SELECT count(*) FROM {live}) AS live_rows,
    count(*) FILTER (WHERE live.ctid IS NULL) AS missing,
    count(*) FILTER (WHERE {both}) AS differing,
    {columns_apart}
FROM {replayed} AS replayed
FULL JOIN {live} AS live ON {same_key}
WHERE live.ctid IS NULL OR replayed.ctid IS NULL OR {apart}
