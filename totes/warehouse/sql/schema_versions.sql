SELECT version FROM {log}.schema_version ORDER BY version
