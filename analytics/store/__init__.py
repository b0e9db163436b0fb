"""ClickHouse, embedded (chDB) or a server: schema, migrations, one client. The only room that imports the driver."""
