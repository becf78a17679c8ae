SELECT min({key}) AS first, max({key}) AS last FROM {table}
