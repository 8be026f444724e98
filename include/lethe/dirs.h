// dirs.h - directories and key files of the user, from the environment. Nothing is created.
//
// Every function fills a path of at most LT_DIR_MAX - 1 bytes; LT_E_USAGE when it would be longer. Any thread.
#ifndef LT_DIRS_H
#define LT_DIRS_H
#include "lethe/common.h"
#include "lethe/status.h"
LT_BEGIN

enum { LT_DIR_MAX = 4096 };
LT_API lt_status lt_data_dir(char out[LT_DIR_MAX]); // $LETHE_DATA, $XDG_DATA_HOME/lethe, ~/.local/share/lethe
LT_API lt_status
lt_store_dir(char out[LT_DIR_MAX]);                // $LETHE_HOME/store, $XDG_DATA_HOME/lethe/store, ~/.local/share/...
LT_API lt_status lt_key_dir(char out[LT_DIR_MAX]); // $LETHE_HOME/keys, $XDG_CONFIG_HOME/lethe, ~/.config/lethe
LT_API lt_status lt_cache_dir(char out[LT_DIR_MAX]); // $LETHE_HOME/cache, $XDG_CACHE_HOME/lethe, ~/.cache/lethe
// `given` when it is neither NULL nor "", else the file `name` ("sample.key", "signing.key") in lt_key_dir.
LT_API lt_status lt_key_path(const char *given, const char *name, char out[LT_DIR_MAX]);

LT_END_DECLS
#endif
