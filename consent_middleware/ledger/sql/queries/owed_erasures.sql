SELECT visitor, ticket FROM owed_erasures ORDER BY ticket
