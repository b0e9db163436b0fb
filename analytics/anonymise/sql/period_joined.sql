-- Hits with what their visit says: for cubes whose keys come from both.
CREATE TABLE {joined:Identifier} ENGINE = Memory AS
SELECT h.visitor AS visitor, h.visit AS visit, h.path AS path, h.event_name AS event_name, h.weekday_hour AS weekday_hour,
    h.pageviews AS pageviews, h.events AS events,
    v.source AS source, v.channel AS channel, v.campaign AS campaign, v.country AS country, v.language AS language,
    v.browser AS browser, v.os AS os, v.device AS device, v.entry_path AS entry_path, v.exit_path AS exit_path,
    v.visit_length AS visit_length, v.bounce AS bounce, '' AS nothing
FROM {hits:Identifier} AS h
INNER JOIN {visits:Identifier} AS v ON h.visitor = v.visitor AND h.visit = v.visit
