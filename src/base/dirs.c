// dirs.c - directories and key files of the user, from the environment.
#include "lethe/dirs.h"
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

// The first of: $name/suffix, $HOME/below/suffix, ./.suffix.
static lt_status user_dir(const char *name, const char *below, const char *suffix, char out[LT_DIR_MAX])
{
    const char *base = variable(name), *home = variable("HOME");
    const int n = base   ? snprintf(out, LT_DIR_MAX, "%s/%s", base, suffix)
                  : home ? snprintf(out, LT_DIR_MAX, "%s/%s/%s", home, below, suffix)
                         : snprintf(out, LT_DIR_MAX, ".%s", suffix);
    if (n < 0 || n >= LT_DIR_MAX)
        return LT_FAIL(LT_E_USAGE, "$%s: the path is longer than %d bytes", name, LT_DIR_MAX - 1);
    return LT_OK;
}

lt_status lt_cache_dir(char out[LT_DIR_MAX])
{
    return variable("LETHE_HOME") ? user_dir("LETHE_HOME", "", "cache", out)
                                  : user_dir("XDG_CACHE_HOME", ".cache", "lethe", out);
}

lt_status lt_store_dir(char out[LT_DIR_MAX])
{
    return variable("LETHE_HOME") ? user_dir("LETHE_HOME", "", "store", out)
                                  : user_dir("XDG_DATA_HOME", ".local/share", "lethe/store", out);
}

lt_status lt_key_dir(char out[LT_DIR_MAX])
{
    return variable("LETHE_HOME") ? user_dir("LETHE_HOME", "", "keys", out)
                                  : user_dir("XDG_CONFIG_HOME", ".config", "lethe", out);
}

lt_status lt_data_dir(char out[LT_DIR_MAX])
{
    const char *data = variable("LETHE_DATA");
    if (!data)
        return user_dir("XDG_DATA_HOME", ".local/share", "lethe", out);
    if (snprintf(out, LT_DIR_MAX, "%s", data) >= LT_DIR_MAX)
        return LT_FAIL(LT_E_USAGE, "$LETHE_DATA: the path is longer than %d bytes", LT_DIR_MAX - 1);
    return LT_OK;
}

lt_status lt_key_path(const char *given, const char *name, char out[LT_DIR_MAX])
{
    char dir[LT_DIR_MAX];
    const bool is_given = given && *given;
    if (!is_given)
        LT_TRY(lt_key_dir(dir));
    const int n = is_given ? snprintf(out, LT_DIR_MAX, "%s", given) : snprintf(out, LT_DIR_MAX, "%s/%s", dir, name);
    return n < LT_DIR_MAX ? LT_OK : LT_FAIL(LT_E_USAGE, "%s: the path is longer than %d bytes", name, LT_DIR_MAX - 1);
}
