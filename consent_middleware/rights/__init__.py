"""The rights of the people behind the data: the register of requests, their deadlines, and the desk to analytics."""
