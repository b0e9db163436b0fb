-- Keys of hits and of their visits together: an entry per visit and pair of keys.
SELECT
    visitor,
    groupArray(1) AS n2, -- metric 2
    groupArray(viewed) AS n3, -- metric 3
    groupArray(happened) AS n4, -- metric 4
    groupArray(bounced) AS n5, -- metric 5
    groupArray(second) AS two, -- pair
    groupArray(first) AS one
FROM (
    SELECT
        visitor, visit,
        sum(hit.pageviews) AS viewed,
        sum(hit.events) AS happened,
        any(visited.bounce) AS bounced,
        {second:Identifier} AS second, -- pair
        {first:Identifier} AS first
    FROM (
        SELECT visitor, visit, pageviews, events, path, event, hour
        FROM {hits:Identifier}
        ARRAY JOIN visit, pageviews, events, path, event, hour
    ) AS hit
    INNER JOIN (
        SELECT
            visitor, visit, bounce, entry_path, exit_path, visit_length, source, channel, campaign, country, language,
            browser, os, device
        FROM {visits:Identifier}
        ARRAY JOIN
            visit, bounce, entry_path, exit_path, visit_length, source, channel, campaign, country, language, browser,
            os, device
    ) AS visited USING (visitor, visit)
    GROUP BY
        visitor, visit,
        second, -- pair
        first
)
GROUP BY visitor
