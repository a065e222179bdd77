"""The command line as `python -m sk_ssimae`."""

from sk_ssimae.cli import main

if __name__ == "__main__":
    main()
