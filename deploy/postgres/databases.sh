#!/bin/sh
# A database and a user for each node; the image runs this once, when its folder is empty.
set -eu

database() { # name password
    psql -v ON_ERROR_STOP=1 -v name="$1" -v password="$2" --username postgres --dbname postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}

database jiuquan "$JIUQUAN_PASSWORD"
database chengdu "$CHENGDU_PASSWORD"
