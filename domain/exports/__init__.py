"""Connections as files: CSV or newline-delimited JSON, streamed, or made by a job and kept for a while.

    columns     what a row holds, and what of it is asked for
    formats     rows as CSV or NDJSON, bytes as gzip
    standing    what a viewer may see at a moment, and whether it has shrunk since
    source      what a connection is to this package: columns, arguments, pages
    registry    all connections that can be exported
    reading     pages of one, each with the rights of its moment
    files       exports as jobs: pieces in PostgreSQL, resumed where they were left, downloaded with a check
    people, activities, goals, numbers, coaching, film, work, administration: the connections themselves

A file is what the viewer could see when it began. It is read in pages, each a statement of its own and no snapshot of
the database: one that stays open for as long as a slow reader takes would keep a connection from others and vacuum from
its work, could not outlive a worker, and would read the rights as they were. So before each page the rights are read
anew, and when anything of what could be seen at the beginning is gone, the export ends with an error rather than go on
with another's half. What grew meanwhile is not in it. Pages go by keysets: what stands still in the order is there
exactly once; what changes meanwhile is there as it was or as it is.
"""
