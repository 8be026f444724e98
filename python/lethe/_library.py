"""The C library: loading it, its errors, its events, and how a call is interrupted."""
import concurrent.futures
import logging
import os
import threading

import cffi

log = logging.getLogger("lethe")

_HERE = os.path.dirname(os.path.abspath(__file__))


def _load():
    path = os.environ.get("LETHE_LIBRARY") or os.path.join(_HERE, "liblethe.so.0")
    declarations = os.path.join(_HERE, "declarations.h")
    if not os.path.exists(declarations) or not os.path.exists(path):
        raise ImportError("lethe: the C library is not part of this package; install it with `pip install ./python` "
                          "in the checkout, which builds it")
    ffi_ = cffi.FFI()
    with open(declarations, encoding="utf-8") as f:
        ffi_.cdef(f.read())
    return ffi_, ffi_.dlopen(path)


ffi, lib = _load()


class Error(RuntimeError):
    """What the library refused or could not do. `status` is its name there ("LT_E_FORMAT"), `hint` what to do about
    it ("" when there is nothing to say), `exit_code` what the command would have exited with."""

    def __init__(self, status, message, hint, exit_code):
        super().__init__(message + (" (" + hint + ")" if hint else ""))
        self.status, self.message, self.hint, self.exit_code = status, message, hint, exit_code


class UsageError(Error, ValueError):
    """An option, name or combination that does not exist."""


class InputError(Error, ValueError):
    """Data or a file that is missing, malformed or of another shape than expected."""


class IntegrityError(Error):
    """Data or a file that is not what its digest or its record says."""


class DivergedError(Error, ArithmeticError):
    """Training whose loss is no longer finite, or far above where it began."""


_CLASSES = {
    "LT_E_USAGE": UsageError, "LT_E_INPUT": InputError, "LT_E_FORMAT": InputError, "LT_E_SHAPE": InputError,
    "LT_E_INTEGRITY": IntegrityError, "LT_E_DIVERGED": DivergedError,
}


def text(pointer):
    """A C string, "" for NULL."""
    return ffi.string(pointer).decode("utf-8", "replace") if pointer != ffi.NULL else ""


def take_text(pointer):
    """A malloc'ed C string as str; frees it. None for NULL."""
    if pointer == ffi.NULL:
        return None
    result = text(pointer)
    _libc.free(pointer)
    return result


_libc_ffi = cffi.FFI()
_libc_ffi.cdef("void free(void *);")
_libc = _libc_ffi.dlopen(None)


def _recorded_error(status):
    record = lib.lt_error_get()
    name = ffi.typeof("lt_status").elements.get(int(status), str(status))
    message, hint = text(record.message), text(record.hint)
    code = lib.lt_status_exit_code(status)
    lib.lt_error_clear()
    if name == "LT_E_NOMEM":
        return MemoryError(message)
    return _CLASSES.get(name, Error)(name, message, hint, code)


def check(status):
    """Raises what the failed call recorded; to be called on the thread that made it."""
    if status != lib.LT_OK:
        raise _recorded_error(status)


# One thread makes all long calls: the worker threads of the kernels belong to it and are made once.
_worker = None
_worker_lock = threading.Lock()


def _get_worker():
    global _worker
    with _worker_lock:
        if _worker is None:
            _worker = concurrent.futures.ThreadPoolExecutor(1, "lethe")
        return _worker


def _forget_worker():
    global _worker
    _worker = None


os.register_at_fork(after_in_child=_forget_worker)


class Session:
    """What one long call needs besides its arguments: where its events go, and the flag that interrupts it."""

    def __init__(self, on_event=None):
        self.stop = ffi.new("int *", 0)
        self._on_event = on_event
        events = ffi.new("lt_events **")
        check(lib.lt_events_create(events))
        self.events = ffi.gc(events[0], lib.lt_events_destroy)
        self._emit = ffi.callback("void(void *, const lt_event *)", self._receive)
        check(lib.lt_events_add(self.events, {"emit": self._emit, "self": ffi.NULL}))

    def _receive(self, _self, event):
        if event.kind == lib.LT_EV_WARNING:
            log.warning("%s", text(event.text))
        elif event.kind == lib.LT_EV_NOTE:
            log.info("%s", text(event.text))
        elif event.kind == lib.LT_EV_INFO:
            log.debug("%s", text(event.text))
        if self._on_event:
            fields = {text(event.fields[i].key): event.fields[i].value for i in range(event.n_fields)}
            self._on_event({"name": text(event.name), "text": text(event.text), "done": event.done,
                            "total": event.total, "unit": text(event.unit), "epoch": event.epoch, "step": event.step,
                            "wall_s": event.wall_s, **fields})

    def call(self, function, *arguments):
        """function(*arguments) of the library on the worker thread; raises what it recorded. Ctrl-C lets it write its
        checkpoint and then raises KeyboardInterrupt."""
        def work():
            status = function(*arguments)
            return None if status == lib.LT_OK else _recorded_error(status)

        waiting = _get_worker().submit(work)
        interrupted = None
        while True:
            try:
                error = waiting.result(timeout=0.2)
                break
            except concurrent.futures.TimeoutError:
                continue
            except KeyboardInterrupt as e:
                interrupted = e
                self.stop[0] = 1
        if interrupted:
            raise interrupted
        if error:
            raise error
