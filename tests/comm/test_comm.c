// test_comm.c - sums and broadcasts over ranks that are threads.
#include "lt_test.h"
#include "lethe/comm.h"
#include <pthread.h>
#include <stdlib.h>

enum { RANKS = 4, N = 1000 };

typedef struct rank_job {
    lt_comm *comm;
    float f[N];
    double d[2];
    int told;
    lt_status status;
} rank_job;

static void *work(void *arg)
{
    rank_job *j = arg;
    for (int i = 0; i < N; i++)
        j->f[i] = (float)(i + 1000 * j->comm->rank);
    j->d[0] = j->comm->rank;
    j->d[1] = 0.5;
    j->told = j->comm->rank == 0 ? 42 : -1;
    for (int round = 0; round < 3 && j->status == LT_OK; round++) { // one call follows another without mixing
        j->status = lt_comm_sum_f32(j->comm, j->f, N);
        if (j->status == LT_OK)
            j->status = lt_comm_sum_f64(j->comm, j->d, 2);
    }
    if (j->status == LT_OK)
        j->status = lt_comm_broadcast(j->comm, &j->told, sizeof j->told);
    lt_comm_close(j->comm, 0);
    return NULL;
}

static void sums_and_broadcasts_reach_every_rank(void **state)
{
    (void)state;
    static rank_job job[RANKS];
    lt_comm *comm[RANKS];
    pthread_t thread[RANKS];
    assert_ok(lt_comm_threads(RANKS, comm));
    for (int r = 0; r < RANKS; r++) {
        job[r].comm = comm[r];
        assert_int_equal(comm[r]->rank, r);
        assert_int_equal(comm[r]->size, RANKS);
        assert_int_equal(pthread_create(&thread[r], NULL, work, &job[r]), 0);
    }
    for (int r = 0; r < RANKS; r++)
        pthread_join(thread[r], NULL);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(job[r].status, LT_OK);
        assert_int_equal(job[r].told, 42);
        assert_true(job[r].d[0] == 6.0 * 16 && job[r].d[1] == 0.5 * 64);
        for (int i = 0; i < N; i++)
            assert_true(job[r].f[i] == (float)(16 * (4 * i + 6000)));
    }
}

static void a_rank_alone_has_nothing_to_do(void **state)
{
    (void)state;
    float x = 3;
    lt_comm *comm;
    assert_ok(lt_comm_sum_f32(NULL, &x, 1));
    assert_ok(lt_comm_threads(1, &comm));
    assert_ok(lt_comm_sum_f32(comm, &x, 1));
    assert_ok(lt_comm_broadcast(comm, &x, sizeof x));
    assert_true(x == 3);
    lt_comm_close(comm, 0);
    lt_comm_close(NULL, 0);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    lt_comm *comm[1];
    assert_fails(LT_E_USAGE, "expected mpi", lt_comm_open("tcp", comm));
    assert_fails(LT_E_USAGE, "expected 1 to 1024 ranks, found 0", lt_comm_threads(0, comm));
    setenv("LETHE_MPI_PLUGIN", "/nowhere/liblethe_mpi.so", 1);
    assert_fails(LT_E_UNSUPPORTED, "the plug-in cannot be loaded", lt_comm_open("mpi", comm));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_broadcasts_reach_every_rank),
        cmocka_unit_test(a_rank_alone_has_nothing_to_do),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
