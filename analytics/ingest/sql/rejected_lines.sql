-- How many lines were taken (reason "") and rejected, with the beginning of one line for each reason. Parameter: staged
-- Identifier.
SELECT toString(reason), count(), any(sample) FROM {staged:Identifier} GROUP BY reason
