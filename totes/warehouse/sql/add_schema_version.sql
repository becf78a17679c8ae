INSERT INTO {log}.schema_version (version) VALUES (:version)
