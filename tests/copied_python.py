"""How a copy of a Python that has imported things becomes a program: for warm_inv and its like."""

from __future__ import annotations

#: Defines `live(become, …)`, which runs become(…) in a copy and ends it as a Python ends, and
#: `exit_code_of`, which waits for one.
LIVING = """
import atexit, os, signal, sys, threading

def live(become, *asked):
    code = 0
    try:
        become(*asked)
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, (int, type(None))):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)

def exit_code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
