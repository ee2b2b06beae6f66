"""File names are bytes, and not always UTF-8: how they go into JSON, and to libraries that take text only.

Python shows the odd bytes of such a name as lone surrogates (PEP 383), which no UTF-8 text may hold.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def valid_text(text: str) -> str:
    r"""`text` as UTF-8 can hold it: the byte FF of a file name is written \udcff.

    Inside a JSON string that is JSON's own escape: whoever parses it in Python has the name again, and os.fsencode
    gives its bytes.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def utf8_path(path: Path | str) -> Iterator[Path]:
    """`path` for a library that knows UTF-8 only: itself where it is, else a link to it for as long as the block lasts.

    Reading and writing both follow the link. Only POSIX systems have names that need one.
    """
    path = Path(path)
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory(prefix="latentsync-") as folder:
            link = Path(folder, "link")
            os.symlink(path.absolute(), link)
            yield link
    else:
        yield path
