-- Counts the values that can't be converted to UTF-8, after one has stopped a read, and finds the first ones' bytes. The
-- server converts each value, because only the server knows its encodings. A DO block returns nothing, so it leaves the
-- answer, in ASCII, in a setting of the transaction.
DO $totes$
DECLARE
    held record;
    wrong_values bigint := 0;
    first_wrong jsonb := '[]';
BEGIN
    FOR held IN
        SELECT {key} AS key, written.name, written.value
        FROM public.{table} AS {table}
        CROSS JOIN LATERAL (VALUES {columns}) AS written (name, value)
        WHERE {condition}
    LOOP
        BEGIN
            PERFORM pg_catalog.convert_to(held.value, 'UTF8');
        EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
            wrong_values := wrong_values + 1;
            IF wrong_values <= {shown} THEN
                first_wrong := first_wrong || pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array(
                    held.key,
                    held.name,
                    pg_catalog.encode(pg_catalog.substring(pg_catalog.convert_to(held.value, 'SQL_ASCII'), 1, 40), 'hex')
                ));
            END IF;
        END;
    END LOOP;
    PERFORM pg_catalog.set_config(
        'totes.unconvertible',
        CAST(pg_catalog.jsonb_build_object('count', wrong_values, 'first', first_wrong) AS text),
        true
    );
END
$totes$
