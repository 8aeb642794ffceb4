"""文件: what a command writes for its caller, refused before the work if it cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from domain.errors import Invalid


class CannotWrite(Invalid):
    """不能写入这个文件。The file cannot be written."""

    mend = "请另选文件或文件夹，或腾出空间。Choose another file or folder, or make room."


def must_be_writable_file(file: Path, option: str) -> None:
    """Refuse a name under which nothing could be written, before anything is done for it.

    Raises:
        CannotWrite: with the option that names it.
    """
    because = None
    if file.is_dir():
        because = "是文件夹。It is a folder"
    elif not file.parent.is_dir():
        because = "没有这个文件夹。There is no such folder"
    elif not os.access(file if file.exists() else file.parent, os.W_OK):
        because = "没有写入的权限。It may not be written"
    if because is not None:
        raise CannotWrite(option=option, file=str(file), because=because)


def write(file: Path, option: str, content: bytes) -> None:
    """Write a file of the caller's.

    Raises:
        CannotWrite.
    """
    try:
        file.write_bytes(content)
    except OSError as fault:
        raise CannotWrite(option=option, file=str(file), because=str(fault.strerror)) from None
