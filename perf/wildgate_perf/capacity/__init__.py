"""From a measured profile of one node and a demand to nodes, bandwidth, cost and headroom.

The model, and where it comes from
- Work: a node that answers at most X videos per second spends D = 1/X node-seconds on each, whatever runs inside it
  (the service demand law). Other videos cost in proportion to their windows of frames, cached ones what was measured of
  them (`cached_over_first`); videos by URI and as content have peaks of their own.
- Load: videos arriving at a rate r keep a node busy for the share U = r * D (the utilisation law), up to 1; more is
  refused, so that throughput is min(r, 1/D). Both laws hold for any arrivals and service times: P. Denning,
  J. Buzen, "The Operational Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978.
- Latency: the measured curve over utilisation, straight between its points and never falling. It holds for nodes like
  the measured one, for arrivals like the measured ones; where no loads were measured, latency is unknown.
- A fleet of N nodes behind a balancer that spreads evenly: each gets r/N. Spare nodes carry load, too, until they are
  needed; the fleet is large enough when it keeps the target without them.

Left out: waves shorter than the peak factor's, uneven balancing, the network's own latency and protocol overhead.
`wildgate capacity check` holds the model against measured loads.
"""
