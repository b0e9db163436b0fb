-- How many cells of other tools' exports are held, and when the first and the last were imported.
SELECT count(), min(loaded), max(loaded) FROM imported_cells
