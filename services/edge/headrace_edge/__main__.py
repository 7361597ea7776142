"""Starts the edge: `python -m headrace_edge`."""

from headrace_edge import server

if __name__ == "__main__":
    server.main()
