"""What the visitor meets: banner, preferences, policy page, cookie table, my-data page."""
