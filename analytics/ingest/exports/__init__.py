"""Totals that other tools exported, as cells: Plausible's and Matomo's CSV, Google Analytics' reports.

`cells.import_export` is the door; each tool has a file that knows its columns. Nothing but `cells.py` knows the store.
"""
