-- Staged cells of one file of an export into the store. Parameters: staged Identifier; site, tool, batch String.
INSERT INTO imported_cells
SELECT
    {site:String}, {tool:String}, report, first, last, keys, visitors, visits, pageviews, events, bounces, visit_seconds,
    {batch:String}, now()
FROM {staged:Identifier}
