// serve.c - the server without its sockets: options, root, token, queue.
#include "serve_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const lt_option lt_serve_options[] = {
    LT_STR(lt_serve_cfg, listen, "127.0.0.1",
           "address to listen on; beyond loopback nothing is encrypted: prefer ssh -L"),
    LT_I32(lt_serve_cfg, port, 8737, 0, 65535, "", "port; 0 = a free one"),
    LT_STR(
        lt_serve_cfg, host_names, NULL,
        "host names of this machine that browsers may request, separated by commas; addresses and localhost need none"),
    LT_SWITCH(lt_serve_cfg, token_to_read, "require the token for reading, too; auto: when listening beyond loopback"),
    LT_BOOL(lt_serve_cfg, with_images, 0, "show forgotten images, and the adversarial examples that runs have kept"),
    LT_BOOL(lt_serve_cfg, new_token, 0, "make a new token; open pages must be reopened"),
    LT_I32(lt_serve_cfg, jobs, 1, 1, 64, "", "jobs of the queue that run at once"),
    LT_OPT_END,
};

static lt_status open_root(const char *root, lti_serve *s)
{
    char place[LTI_FILE_MAX];
    LT_TRY(lt_make_dirs(root));
    char *real = realpath(root, NULL);
    if (!real)
        return LT_FAIL(LT_E_IO, "read %s: %s", root, strerror(errno));
    const bool fits = strlen(real) + LTI_PLACE_MAX + 32 < sizeof s->root;
    if (fits)
        memcpy(s->root, real, strlen(real) + 1);
    free(real);
    if (!fits)
        return LT_FAIL(LT_E_USAGE, "%.80s: the path is too long", root);
    if (strchr(s->root, ',')) {
        (void)LT_FAIL(LT_E_USAGE, "%.200s: a comma in the path would end the name of a list", s->root);
        return lt_error_hint("serve a directory whose path has none");
    }
    snprintf(place, sizeof place, "%s/.lethe", s->root);
    if (mkdir(place, 0700) != 0 && errno != EEXIST)
        return LT_FAIL(LT_E_IO, "write %s: %s", place, strerror(errno));
    if (chmod(place, 0700) != 0)
        return LT_FAIL(LT_E_IO, "write %s: %s", place, strerror(errno));
    return LT_OK;
}

lt_status lti_serve_open(const lt_serve_spec *spec, lti_serve *s)
{
    memset(s, 0, sizeof *s);
    s->queue.lock_fd = -1;
    s->host_names = spec->cfg->host_names;
    s->with_images = spec->cfg->with_images;
    s->port = spec->cfg->port;
    pthread_mutex_init(&s->library, NULL);
    lt_status status = open_root(spec->root, s);
    if (status == LT_OK)
        status = lti_token_open(s, spec->cfg->new_token);
    if (status == LT_OK)
        status = lti_queue_open(&s->queue, s->root, spec->command, spec->cfg->jobs);
    if (status != LT_OK)
        lti_serve_close(s);
    return status;
}

void lti_serve_close(lti_serve *s)
{
    if (s->queue.root[0])
        lti_queue_close(&s->queue);
    pthread_mutex_destroy(&s->library);
}
