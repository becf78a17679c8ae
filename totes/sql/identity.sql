-- Which cluster this is, and how often it was restored or promoted.
SELECT (SELECT CAST(system_identifier AS text) FROM pg_catalog.pg_control_system()) AS system,
       (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()) AS timeline
