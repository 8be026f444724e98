// queue_api.c - the queue, as requests see it.
#include "serve_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

lt_status lti_post_session(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    (void)t;
    (void)body;
    lti_token_cookie(s, r->cookie);
    lti_respond_json(r, 200, json_pack("{s:b}", "may_write", 1));
    return LT_OK;
}

lt_status lti_get_queue(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    (void)t;
    (void)body;
    lti_respond_json(r, 200, lti_queue_json(&s->queue));
    return LT_OK;
}

lt_status lti_post_job(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    lti_job job;
    (void)t;
    lt_status status = lti_order_job(s, body, &job);
    if (status == LT_OK)
        status = lti_queue_add(&s->queue, &job);
    if (status == LT_OK)
        lti_respond_json(r, 201, json_pack("{s:I}", "id", (json_int_t)job.id));
    else
        lti_job_clear(&job);
    return status;
}

lt_status lti_post_check(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    lti_deletion d;
    char list[LTI_FILE_MAX];
    json_t *found = NULL;
    (void)t;
    LT_TRY(lti_deletion_parse(body, &d));
    LT_TRY(lti_queue_check_file(&s->queue, list));
    const lt_status status = lti_deletion_check(s, &d, list, &found);
    unlink(list);
    LT_TRY(status);
    lti_respond_json(r, 200, found);
    return LT_OK;
}

static lt_status change(lti_serve *s, const json_t *body, lt_status (*fn)(lti_queue *, int64_t), lti_response *r)
{
    const json_t *id = json_object_get(body, "id");
    if (!json_is_integer(id))
        return LT_FAIL(LT_E_USAGE, "id: expected the number of a job");
    LT_TRY(fn(&s->queue, json_integer_value(id)));
    lti_respond_json(r, 200, lti_queue_json(&s->queue));
    return LT_OK;
}

lt_status lti_post_cancel(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    (void)t;
    return change(s, body, lti_queue_cancel, r);
}

lt_status lti_post_again(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    (void)t;
    return change(s, body, lti_queue_again, r);
}

lt_status lti_post_remove(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    (void)t;
    return change(s, body, lti_queue_remove, r);
}

// The last bytes of the log of a job.
lt_status lti_get_job_log(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    enum { TAIL_BYTES = 16384 };
    const char *id = lti_target_get(t, "id");
    char path[LTI_FILE_MAX];
    (void)body;
    if (!id || !*id || strlen(id) > 9 || id[strspn(id, "0123456789")])
        return LT_FAIL(LT_E_USAGE, "request: parameter 'id' is no number");
    LT_TRY(lti_queue_file(&s->queue, strtoll(id, NULL, 10), "log", path));
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return LT_FAIL(LT_E_INPUT, "job %s has no log yet", id);
    const off_t size = lseek(fd, 0, SEEK_END);
    const off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    r->body = malloc(TAIL_BYTES);
    const ssize_t n = r->body ? pread(fd, r->body, TAIL_BYTES, from) : -1;
    close(fd);
    if (n < 0)
        return LT_FAIL(LT_E_IO, "read %s: %s", path, strerror(errno));
    r->code = 200;
    r->type = "text/plain; charset=utf-8";
    r->n_bytes = (size_t)n;
    return LT_OK;
}
