"""The dashboard: pages rendered on the server, complete without JavaScript, everything about a view in its address."""
