"""measure.py RESULT TIMEOUT COMMAND...: runs a command and writes seconds, processor
seconds, peak kilobytes and exit code as JSON. A small process of its own, because
a child's peak includes that of the process that started it.
"""
import json
import os
import signal
import sys
import time

result, timeout, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
start = time.monotonic()
pid = os.fork()
if pid == 0:
    os.execvp(command[0], command)
signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
signal.alarm(timeout)
_, status, use = os.wait4(pid, 0)
with open(result, "w") as f:
    json.dump({"seconds": time.monotonic() - start, "cpu": use.ru_utime + use.ru_stime, "peak": use.ru_maxrss,
               "code": os.waitstatus_to_exitcode(status)}, f)
