"""Protocol state machines: a message and the time in, effects out; no I/O and no await."""
