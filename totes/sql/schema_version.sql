SELECT max(version) FROM {log}.schema_version
