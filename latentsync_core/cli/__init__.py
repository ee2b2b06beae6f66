"""The subcommands of ``python -m latentsync_core``, one module each.

A command module offers ``add_parser(subparsers)``, which describes its arguments and sets ``run``, and
``run(args) -> int``, which returns the exit code. Heavy imports belong inside ``run``, so that ``--help`` is quick.
"""
