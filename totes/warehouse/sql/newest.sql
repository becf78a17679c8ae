SELECT max({key}) FROM {table}
