-- Lines of the pages of one build's visits, from the lines of its visits: the steps of a line stand in order of pages.
INSERT INTO visit_pages ($columns)
SELECT
    build, day, part, page, number, $names,
    arraySum(step -> step.3, steps) AS held,
    if(line.unkeyed > 0, held, 0) AS unkeyed,
    arraySum(step -> if(step.2 = 'pageview', step.3, 0), steps) AS pageviews,
    arraySum(step -> if(step.2 != 'engagement', step.3, 0), steps) AS events,
    visits, visit_views, bounces, duration_ms
FROM
(
    SELECT
        build, day, part, number, $names, unkeyed, visits, visit_views, bounces, duration_ms,
        arrayJoin(arraySplit(
            (step, nth) -> nth = 1, arrayZip(pages, names, counts), arrayEnumerateUniq(pages))) AS steps,
        steps[1].1 AS page
    FROM visits
    WHERE build = {build:UInt64}
) AS line
