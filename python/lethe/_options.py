"""Options by name: keyword arguments that end up in the C structs which the library's option tables describe."""
from ._library import check, ffi, lib, text


def _value_text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_value_text(v) for v in value)
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    return repr(value) if isinstance(value, float) else str(value)


class Options:
    """Structs with the values that were given. They stay valid as long as this object."""

    def __init__(self):
        made = ffi.new("lt_optset **")
        check(lib.lt_optset_create(made))
        self.set = ffi.gc(made[0], lib.lt_optset_destroy)
        self._kept = []

    def bind(self, prefix, table, struct, filled=True):
        """`struct` (a pointer) gets the values of the rows of `table`; with `filled` it has its defaults already."""
        name = ffi.new("char[]", prefix.encode())
        self._kept += [name, struct]
        if filled:
            origin = ffi.new("char[]", b"default")
            self._kept.append(origin)
            check(lib.lt_optset_add_filled(self.set, name, table, struct, lib.LT_OPTGROUP_FLAGS, origin))
        else:
            check(lib.lt_optset_add(self.set, name, table, struct, lib.LT_OPTGROUP_FLAGS))
        return self

    def update(self, values):
        """Sets every option of the mapping; UsageError, with the nearest name, for one that does not exist."""
        for key, value in values.items():
            check(lib.lt_optset_set(self.set, key.encode(), _value_text(value).encode(), b"flag"))
        return self


def rows(table):
    """name -> help of an option table."""
    result, i = {}, 0
    while table[i].name != ffi.NULL:
        result[text(table[i].name)] = text(table[i].help)
        i += 1
    return result
