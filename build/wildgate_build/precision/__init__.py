"""The same detector in fewer bits: INT8 and fp16, with a report of what it cost."""
