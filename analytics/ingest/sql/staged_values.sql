-- The distinct values of staged lines, each to be explained once, and how many lines were taken (reason "") and rejected,
-- with the beginning of one line for each reason. Parameter: staged Identifier.
SELECT 'agent' AS what, toString(agent) AS value, count() AS lines, '' AS sample
FROM {staged:Identifier} WHERE reason = '' GROUP BY agent
UNION ALL
SELECT 'link', toString(link), count(), '' FROM {staged:Identifier} WHERE reason = '' GROUP BY link
UNION ALL
SELECT 'network', toString(network), count(), '' FROM {staged:Identifier} WHERE reason = '' GROUP BY network
UNION ALL
SELECT 'reason', toString(reason), count(), any(sample) FROM {staged:Identifier} GROUP BY reason
