SELECT chain FROM chains ORDER BY chain
