"""`python -m monitor` is `tracewatch`."""

from monitor.cli import main

if __name__ == "__main__":
    main()
