-- Keys that a visit has: its rows as they are.
SELECT visitor, {first:Identifier} AS one, {second:Identifier} AS two, pageviews, events, bounce
FROM {visits:Identifier}
