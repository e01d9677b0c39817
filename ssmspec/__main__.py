"""`python -m ssmspec` is the same program as `ssmspec`, and both begin here."""

import sys


def main() -> None:
    """Run the command line; a package that cannot be loaded is exit code 2 as any other trouble."""
    try:
        from ssmspec.cli import main as run  # noqa: PLC0415
    except Exception as error:
        if sys.stderr is not None:
            sys.stderr.write(
                f"ssmspec: error: ssmspec is not wholly installed ({error!r}); install it again\n"
            )
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
