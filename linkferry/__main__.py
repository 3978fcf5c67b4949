"""`python -m linkferry`: the same as the `linkferry` command."""

from linkferry.cli import main

if __name__ == "__main__":
    main()
