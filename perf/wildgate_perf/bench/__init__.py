"""`make bench`: what the full server reaches of the machine's own limit, what it costs, how it bears load.

    python -m wildgate_perf.bench [--quick] [--only PHASE ...] [--strict]
    python -m wildgate_perf.bench --profile rtx [--quick] [--repository FOLDER]    (on a GPU, see `rtx`)

One command, at most ten minutes on two cores, the composing of its videos included. Every figure that counts is a ratio
of two things measured on the same machine minutes or seconds apart, since machines (and what else runs on them) differ:

- the two take turns in rounds, each time in the other order; the figure is the median of the rounds' ratios, and their
  10 and 90 % ranks tell how far it can be trusted;
- the server runs as users run it, `wildgate serve` with processes of its own and default settings but for the cache,
  which is off where the same videos come again (`settings` in the results names all that differ); the load
  generator is another process, on the same cores, and what it takes of them is reported beside;
- latencies under load come from an open loop, counted from when a request was due (see `wildgate_perf.loops`);
  percentiles are nearest ranks, without interpolation;
- the processor time of everything else that ran meanwhile, and of the host (steal), is reported for each round.

What a run does not measure again is taken over from the results before, if processor, cores and versions are the same;
`measured_at` in the results has the date of each figure.

Phases, one file each: `against_offline`, `against_direct`, `bytes_read`, `offered_load`, `cached`, `against_decoding`.
`peers` (`make bench-peers`) runs only when asked for.
"""
