"""How much memory this process has taken."""

import sys


def peak_memory() -> int | None:
    """The most bytes of memory this process has held at once (resident set); None where the system does not tell."""
    if sys.platform == "linux":
        # getrusage would report the parent's peak where that is higher: Linux carries it over to a new program.
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource  # macOS counts bytes, other systems KiB

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
