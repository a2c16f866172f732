"""The embedded PostgreSQL and Valkey, for whoever sets no DATABASE_URL or REDIS_URL.

Both come as programs in wheels. Both listen on a Unix socket only, in a folder that nobody else may
enter, so neither needs a password nor takes a port.

    layout      where they live and how they are reached
    servers     the commands that start them, and as whom
    preparing   the folders, the cluster, the role and the database
    sharing     a database for the length of a block, without `make run`
"""
