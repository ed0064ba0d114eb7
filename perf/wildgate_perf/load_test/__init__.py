"""The load test: locust users, load shapes and objectives for a running server.

`perf/locustfile.py` is what locust loads. It takes users from `users`, shapes from `shapes` and listens to locust's
events in `listeners`; results are locust's own statistics, report and CSV files. `phases` reads those statistics by
part of the run, and `objectives` judges them. `python -m wildgate_perf.load_test` (`make perf`) runs the shapes one
after the other, each in a locust process of its own.

Locust patches the standard library with gevent, so only `users`, `shapes` and `listeners` import it, and nothing but
the locustfile imports those.
"""
