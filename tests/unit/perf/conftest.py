import sys
from pathlib import Path

# The benchmarks are programs, not packages; their pure parts are tested here.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "perf"))
