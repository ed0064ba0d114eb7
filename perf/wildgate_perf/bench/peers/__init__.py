"""wildgate against what a team would reach for: `make bench-peers`, `python -m wildgate_perf.bench --only peers`.

The same videos, the same ONNX file, the same machine, the same run. What makes it fair, or unfair to wildgate:

- Every peer's workers decode keyframes only, as PyAV's documentation has it and straight to the small picture, and run
  the file that wildgate serves in ONNX Runtime (`scorer.py`).
- Each peer is one file, written as its documentation has it, then tuned: workers and threads, its own batching on and
  off, its own switches. What was tried stands beside each in `contenders.py`, and goes into the results.
- Peers get videos as the raw body of an HTTP POST (no multipart, no base64), wildgate by gRPC. Each is prepared before
  the clock runs. wildgate has a second row for videos that it reads itself (`file:`), which no target hangs on.
- Every contender gets the same number of clients in a closed loop, from a process of its own on the same cores.
- Contenders take turns within each round, one running at a time, started anew and warmed up; figures are medians over
  rounds, ratios are taken round by round. wildgate's cache is off. Usage reports are off, all listen on loopback.
- Answers are checked: the scores of all frames and labels of a few videos must be those of an independent full decode,
  within a tolerance that the results state for each. A contender that is not installed, does not start or answers
  wrongly fails the run at once.
- wildgate's decoder leaves out deblocking on keyframes that it shrinks at least threefold. Peers' decoders do not, and
  peers are not given it: they use what PyAV and FFmpeg are documented to do.
- Peers do less: they validate nothing, isolate no untrusted input, apply no policy, find no frames between keyframes,
  and have no deadline or admission. Nothing is taken off for that.

The common script is what stands in many repositories: OpenCV reads every frame, one per second is kept; a plain loop,
one process per core, on files.
"""
