"""wildgate against what a team would reach for: `make bench-peers`, `python -m wildgate_perf.bench --only peers`.

The same videos, the same ONNX file, the same machine, the same run. What makes it fair, or unfair to wildgate:

- Every peer's workers decode keyframes only (`keyframes.py`), as PyAV's documentation has it and straight to the small
  picture, and run the file that wildgate serves in ONNX Runtime (`detector.py`).
- Each peer is one file, written as its documentation has it, then tuned: workers and threads, its own batching on and
  off, its own switches. What was tried stands beside each in `contenders.py`, and goes into the results.
- Videos come as the raw body of an HTTP POST wherever the framework takes one: no multipart, no base64; Triton's and
  wildgate's come by gRPC. Each is prepared before the clock runs. wildgate has a second row for videos that it reads
  itself (`file:`), which no ratio is taken from.
- Every contender gets the same number of clients in a closed loop, from a process of its own on the same cores.
- Contenders take turns within each round, one running at a time, started anew and warmed up; figures are medians over
  rounds, ratios are taken round by round. wildgate's cache is off. Usage reports are off, all listen on loopback.
- Answers are checked: the scores of all frames and labels of a few videos must be those of an independent full decode,
  within a tolerance that the results state for each. A contender that answers wrongly, or does not start, has failed,
  and so has the run; a peer that is not installed is reported as absent. The two ratios are taken where every peer was
  measured, and go into `latest.json` where nobody failed or was absent.
- wildgate's decoder leaves out deblocking on keyframes that it shrinks at least threefold. Peers' decoders do not, and
  peers are not given it: they use what PyAV and FFmpeg are documented to do.
- Peers do less: they validate nothing, isolate no untrusted input, apply no policy, find no frames between keyframes,
  and have no deadline or admission. Nothing is taken off for that.

The common script is what stands in many repositories: OpenCV reads every frame, one per second is kept; a plain loop,
one process per core, on files.
"""
