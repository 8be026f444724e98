// threads.c - ranks that are threads of one process.
//
// The threads meet at a barrier, each with a pointer to its values; rank 0 adds them up in the order of the ranks, and
// all copy the result between two further meetings.
#include "comm/comm_impl.h"
#include <pthread.h>
#include <string.h>

typedef struct shared {
    pthread_barrier_t barrier;
    pthread_mutex_t lock;
    int n, n_open;
    void *values[]; // (n) of each rank, in the present call
} shared;
typedef struct member {
    shared *s;
    int rank;
} member;

static void meet(member *m)
{
    pthread_barrier_wait(&m->s->barrier);
}

// Every rank's values are known after the first meeting, the result after the second, copied after the third.
static void combine(member *m, void *values, size_t bytes, void (*add)(void *to, const void *x, size_t bytes))
{
    shared *s = m->s;
    s->values[m->rank] = values;
    meet(m);
    for (int r = 1; m->rank == 0 && add && r < s->n; r++)
        add(values, s->values[r], bytes);
    meet(m);
    if (m->rank != 0)
        memcpy(values, s->values[0], bytes);
    meet(m);
}

static void add_f32(void *to, const void *x, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        ((float *)to)[i] += ((const float *)x)[i];
}

static void add_f64(void *to, const void *x, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(double); i++)
        ((double *)to)[i] += ((const double *)x)[i];
}

static lt_status sum_f32(void *self, float *x, int64_t n)
{
    combine(self, x, (size_t)n * sizeof *x, add_f32);
    return LT_OK;
}

static lt_status sum_f64(void *self, double *x, int64_t n)
{
    combine(self, x, (size_t)n * sizeof *x, add_f64);
    return LT_OK;
}

static lt_status broadcast(void *self, void *bytes, size_t n)
{
    combine(self, bytes, n, NULL);
    return LT_OK;
}

static void release_shared(shared *s)
{
    pthread_mutex_lock(&s->lock);
    const bool last = --s->n_open == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_barrier_destroy(&s->barrier);
    pthread_mutex_destroy(&s->lock);
    lti_free(s);
}

static void close_member(void *self, int exit_code)
{
    member *m = self;
    (void)exit_code;
    release_shared(m->s);
    lti_free(m);
}

static const lt_comm_ops ops = {sum_f32, sum_f64, broadcast, close_member};

static lt_comm *open_member(shared *s, int rank)
{
    lt_comm *c = lti_calloc(1, sizeof *c);
    member *m = lti_calloc(1, sizeof *m);
    if (!c || !m) {
        lti_free(c);
        lti_free(m);
        return NULL;
    }
    *m = (member){s, rank};
    *c = (lt_comm){.rank = rank, .size = s->n, .ops = &ops, .self = m};
    s->n_open++;
    return c;
}

lt_status lt_comm_threads(int n, lt_comm **comm)
{
    memset(comm, 0, (size_t)(n > 0 ? n : 0) * sizeof *comm);
    if (n < 1 || n > 1024)
        return LT_FAIL(LT_E_USAGE, "communicator of threads: expected 1 to 1024 ranks, found %d", n);
    shared *s = lti_calloc(1, sizeof *s + (size_t)n * sizeof *s->values);
    if (!s || pthread_barrier_init(&s->barrier, NULL, (unsigned)n) != 0) {
        lti_free(s);
        return LTI_NOMEM("communicator");
    }
    pthread_mutex_init(&s->lock, NULL);
    s->n = n;
    s->n_open = 1; // this call
    bool all = true;
    for (int r = 0; r < n && all; r++)
        all = (comm[r] = open_member(s, r)) != NULL;
    for (int r = 0; r < n && !all; r++) {
        lt_comm_close(comm[r], 0);
        comm[r] = NULL;
    }
    release_shared(s);
    return all ? LT_OK : LTI_NOMEM("communicator");
}
