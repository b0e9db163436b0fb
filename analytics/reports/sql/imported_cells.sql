-- Imported totals of one report, by the dimensions that were asked for and a bucket of time. Only whole cells within the
-- days asked for, and only days before the site's own rows begin, so that nothing is counted twice. Parameters: site,
-- report, bucket String ('' for none); dimensions Array(String); first, last Date.
SELECT
    arrayMap(dimension -> keys[dimension], {dimensions:Array(String)}) AS labels,
    multiIf(
        {bucket:String} = 'day', imported_cells.first,
        {bucket:String} = 'week', greatest(toMonday(imported_cells.first), {first:Date}),
        {bucket:String} = 'month', toStartOfMonth(imported_cells.first),
        toDate(0)) AS bucket,
    sum(visitors), sum(visits), sum(pageviews), sum(events), sum(bounces), sum(visit_seconds)
FROM imported_cells
WHERE site = {site:String} AND report = {report:String}
    AND imported_cells.first >= {first:Date} AND imported_cells.last <= {last:Date}
    AND imported_cells.last < (
        SELECT if(count() = 0, toDate('2149-06-06'), toDate(min(time))) FROM events WHERE site = {site:String})
    AND bucket = multiIf(
        {bucket:String} = 'day', imported_cells.last,
        {bucket:String} = 'week', greatest(toMonday(imported_cells.last), {first:Date}),
        {bucket:String} = 'month', toStartOfMonth(imported_cells.last),
        toDate(0))
GROUP BY labels, bucket
