"""Load on a running server by locust: users, load shapes, a summary, and an exit code by objectives.

The way of a run: `__main__` starts a server where none is given and then locust, in a process of its own, because
locust patches Python's standard library with gevent. There `locustfile` puts `users` and a load shape to work; what
every request came to goes into a `tally`, from locust's workers to its master too. At the end the tally becomes a
`record`, which `figures` sums up, `objectives` judge and `summary` and `load_pictures` show.

Only `locustfile`, `users`, `shape_in_locust` and `collecting` import locust or gevent, and nothing else imports them.
"""
