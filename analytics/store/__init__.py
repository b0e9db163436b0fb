"""ClickHouse, embedded (chDB) or a server: schema, migrations, one client. The only room that imports the driver.

`open_store` is the door; `schema/*.sql` are the migrations, `sql/*.sql` here and in the other rooms one question each.
"""

from analytics.store.client import ONE_BLOCK, Store, StoreError, StoreInUse, StoreUnavailable, open_store

__all__ = ["ONE_BLOCK", "Store", "StoreError", "StoreInUse", "StoreUnavailable", "open_store"]
