"""From a measured profile of one node and a demand to nodes, bandwidth, cost and headroom.

The model, and where it comes from
- Work: a node that answers at most X videos per second spends D = 1/X node-seconds on each, whatever runs inside it
  (the service demand law). Other videos cost in proportion to their windows of frames, cached ones what was measured of
  them (`cached_over_first`); videos by URI and as content have peaks of their own.
- Load: videos arriving at a rate r keep a node busy for the share U = r * D (the utilisation law), up to 1; more is
  refused, so that throughput is min(r, 1/D). Both laws hold for any arrivals and service times: P. Denning,
  J. Buzen, "The Operational Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978.
- Latency: a node is a queue (`queueing`) that callers come to independently of each other, as Poisson arrivals do: its
  peak and the time of a video alone, both measured, say how many it works on at once. Measured loads are not used; they
  are what `wildgate capacity check` holds the model against.
- A fleet of N nodes behind a balancer that spreads evenly: each gets r/N. Spare nodes carry load, too, until they are
  needed; the fleet is large enough when it keeps the target without them.

- A day (`wildgate capacity --simulate`, see `day`): that queue, in a fleet that an autoscaler makes larger and smaller.

Left out: uneven balancing, the network's own latency and protocol overhead.
"""
