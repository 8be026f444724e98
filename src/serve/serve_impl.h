// serve_impl.h - shared by the files of this module, which includes public headers of lethe only.
//
// A request passes lti_target_parse (one decoding, strict), the Host check, the access check of its route, and the
// handler of the route, which fills a response. None of these knows a socket: http.c alone does.
#ifndef LTI_SERVE_SERVE_IMPL_H
#define LTI_SERVE_SERVE_IMPL_H
#include "lethe/executor.h"
#include "lethe/pipeline.h"
#include "lethe/serve.h"
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>

enum {
    LTI_TARGET_MAX = 2048,  // bytes of a request target
    LTI_MAX_PARAMS = 16,    // of a query
    LTI_BODY_MAX = 1 << 16, // bytes of a request body
    LTI_PLACE_MAX = 512,    // bytes of a path relative to the root
    LTI_FILE_MAX = 4096,    // bytes of a whole path
    LTI_TOKEN_HEX = 65,
    LTI_COOKIE_MAX = 160,
};

typedef struct lti_serve lti_serve;

// ---- request.c
typedef struct lti_target { // decoded
    char *path;
    int n;
    char *key[LTI_MAX_PARAMS], *value[LTI_MAX_PARAMS];
    char text[LTI_TARGET_MAX]; // that the others point into
} lti_target;
// LT_E_USAGE for anything but printable ASCII, a bad or doubled escape, control characters, bytes that are no UTF-8,
// and keys that stand twice.
lt_status lti_target_parse(const char *raw, lti_target *t);
const char *lti_target_get(const lti_target *t, const char *key); // NULL when absent
// Is this Host header one of a loopback name or address (is_loopback), or else of an address or one of `names`
// (separated by commas; may be NULL)? Any port: a tunnel may have another one.
bool lti_host_is_allowed(const char *host, bool is_loopback, const char *names);

typedef struct lti_request { // borrowed, as the client sent it; NULL = no such header
    const char *method, *target, *host, *origin, *fetch_site, *authorization, *cookie, *content_type;
    const char *body;
    size_t body_bytes;
} lti_request;

typedef enum lti_policy { LTI_POLICY_DATA, LTI_POLICY_PAGE, LTI_POLICY_REPORT } lti_policy; // which CSP
typedef struct lti_response {
    int code;
    const char *type;
    lti_policy policy;
    const unsigned char *fixed; // static bytes, or NULL: body
    char *body;                 // malloc'ed
    size_t n_bytes;
    char cookie[LTI_COOKIE_MAX]; // Set-Cookie; "" = none
    const char *allow;           // of a 405
    struct lti_stream *stream;   // instead of a body
} lti_response;
void lti_response_clear(lti_response *r); // also closes the stream

// ---- token.c
lt_status lti_token_open(lti_serve *s, bool make_new); // ROOT/.lethe/token, mode 0600
bool lti_token_is_sent(const lti_serve *s, const lti_request *q);
bool lti_token_cookie_is_sent(const lti_serve *s, const lti_request *q);
void lti_token_cookie(const lti_serve *s, char out[LTI_COOKIE_MAX]); // value of a Set-Cookie header

// ---- router.c
// Never fails: what goes wrong becomes a response with an error. Thread-safe.
void lti_route(lti_serve *s, const lti_request *q, lti_response *r);
typedef lt_status lti_handler(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r);
void lti_respond_json(lti_response *r, int code, json_t *value); // takes the reference
// The response to a failure, from the error record of this thread; code 0: from its status.
void lti_respond_error(lti_response *r, int code);
lti_handler lti_get_info, lti_get_methods, lti_get_runs, lti_get_run, lti_get_stream, lti_get_forgotten,
    lti_get_reports, lti_get_report, lti_get_records, lti_get_one_record, lti_get_receipt, lti_get_queue,
    lti_get_job_log, lti_post_session, lti_post_check, lti_post_job, lti_post_cancel, lti_post_again, lti_post_remove;

// ---- place.c: names below the root
// Every component is a plain name: not empty, not hidden, no "..", no backslash or control character.
lt_status lti_place_check(const char *place); // LT_E_USAGE
// The full path, after each component has been seen not to be a symbolic link. LT_E_INPUT when nothing is there.
lt_status lti_place_find(const lti_serve *s, const char *place, char out[LTI_FILE_MAX]);
bool lti_name_is_plain(const char *name); // letters, digits, dots, dashes, underscores; at most 64

// ---- queue.c
typedef enum lti_job_state {
    LTI_JOB_QUEUED,
    LTI_JOB_RUNNING,
    LTI_JOB_DONE,
    LTI_JOB_FAILED,
    LTI_JOB_STOPPED, // interrupted: can go on
    LTI_JOB_CANCELLED
} lti_job_state;
typedef struct lti_job { // strings are malloc'ed
    int64_t id;
    char *title; // for people
    char *verb;
    char *place; // of the run or report it makes, below the root
    int n_args;
    char **arg; // after `lethe`; arg[0] is the verb
    lti_job_state state;
    bool asked_to_stop, goes_on; // goes_on: the server ends, not the job
    int exit_code;               // of the last try; -1 = not known
    int64_t task;                // of the executor, while it runs
    bool is_own;                 // started by this server
    double created, started, ended;
    char *message; // why it failed; "" = nothing to say
} lti_job;
void lti_job_clear(lti_job *job);
lt_status lti_job_add_arg(lti_job *job, const char *text); // copies
const char *lti_job_state_text(lti_job_state state);

typedef struct lti_queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed; // also waited on by the worker
    pthread_t worker;
    bool has_worker, stopping;
    int max_running, n, lock_fd;
    int64_t next_id, n_checks;
    uint64_t version; // raised by every change
    lti_job *job;
    lt_executor *executor;
    char dir[LTI_FILE_MAX], root[LTI_FILE_MAX], command[LTI_FILE_MAX]; // command: of the executor
} lti_queue;
lt_status lti_queue_open(lti_queue *queue, const char *root, const char *command, int max_running);
lt_status lti_queue_start(lti_queue *queue); // the worker
void lti_queue_close(lti_queue *queue);      // running jobs are interrupted and queued again
lt_status lti_queue_check_file(lti_queue *queue, char out[LTI_FILE_MAX]); // for a list that is only read
int64_t lti_queue_reserve_id(lti_queue *queue);                           // for a job that has files before it is added
// Takes the job's strings and sets its id, unless one was reserved. LT_E_BUSY when its place is taken, LT_E_USAGE when
// the queue is full.
lt_status lti_queue_add(lti_queue *queue, lti_job *job);
lt_status lti_queue_cancel(lti_queue *queue, int64_t id); // queued: cancelled; running: interrupted
lt_status lti_queue_again(lti_queue *queue, int64_t id);  // stopped, failed, cancelled: queued again
lt_status lti_queue_remove(lti_queue *queue, int64_t id); // forgets a job that neither waits nor runs
json_t *lti_queue_json(lti_queue *queue);                 // {"version", "jobs": [...]}
uint64_t lti_queue_version(lti_queue *queue);
lt_status lti_queue_file(const lti_queue *queue, int64_t id, const char *suffix, char out[LTI_FILE_MAX]);

// ---- job_file.c
lt_status lti_job_save(const lti_queue *queue, const lti_job *job);
lt_status lti_job_load(const char *path, lti_job *job);

// ---- process.c
enum { LTI_SIGNALLED = 128 }; // added to the number of the signal that ended a task
lt_status lti_job_start(lti_queue *queue, lti_job *job);
bool lti_job_poll(lti_queue *queue, lti_job *job, int *exit_code); // true when it has ended; -1 = code not known
lt_status lti_job_interrupt(lti_queue *queue, const lti_job *job); // asks for a checkpoint and an end

// ---- orders.c: what may be queued, from the body of a request
lt_status lti_order_job(lti_serve *s, const json_t *body, lti_job *job);
// ---- deletion.c
typedef struct lti_deletion { // a request to forget, as it was sent
    const char *run, *method;
    const char *kind; // "list", "class", "random"
    const char *what; // its text: lines, class numbers or names, share or number
    uint64_t seed;
    bool use_retain;
} lti_deletion;
lt_status lti_deletion_parse(const json_t *body, lti_deletion *d); // borrows from body
// Writes a list to `list_path`, resolves the request with the library, and says what it found. *found is new.
lt_status lti_deletion_check(lti_serve *s, const lti_deletion *d, const char *list_path, json_t **found);
lt_status lti_deletion_spec(const lti_deletion *d, const char *list_path, char out[LTI_FILE_MAX]); // for --forget

// ---- stream.c: server-sent events of the queue and of one run
typedef struct lti_stream lti_stream;
lt_status lti_stream_open(lti_serve *s, const char *dir_or_null, lti_stream **stream);
size_t lti_stream_read(lti_stream *stream, char *out, size_t max); // 0 = nothing now
void lti_stream_close(lti_stream *stream);

// ---- runs.c
void lti_json_copy(json_t *to, const json_t *from, const char *const *keys); // those that are there
json_t *lti_json_file(const char *path);                                     // NULL when it cannot be read
const char *lti_run_state_text(const char *dir);

struct lti_serve {
    char root[LTI_FILE_MAX], token_file[LTI_FILE_MAX];
    char token[LTI_TOKEN_HEX], cookie[LTI_TOKEN_HEX]; // cookie: derived; reads only
    bool is_loopback, token_to_read, with_images;
    const char *host_names;
    int port, n_streams;
    pthread_mutex_t library; // models and data sets are opened one at a time
    lti_queue queue;
};
lt_status lti_serve_open(const lt_serve_spec *spec, lti_serve *s); // everything but the sockets
void lti_serve_close(lti_serve *s);

// ---- the page, made from src/serve/www when lethe is built
typedef struct lti_asset {
    const char *path, *type;
    const unsigned char *bytes;
    size_t n_bytes;
} lti_asset;
extern const lti_asset lti_assets[]; // ends with path NULL
#endif
